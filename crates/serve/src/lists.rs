//! Pages of lists: which part of a list a request asks for.

use std::collections::HashMap;

use phial_openai::{InvalidRequest, Page};

/// What the query of a request for a list says.
#[derive(Debug)]
pub(crate) struct ListQuery {
    after: Option<String>,
    limit: usize,
    descending: bool,
    others: HashMap<String, String>,
}

impl ListQuery {
    /// Reads a query. At most `limit_max` entries make a page; `others` are the names that only
    /// this list knows.
    pub fn read(
        mut query: HashMap<String, String>,
        (limit_default, limit_max): (usize, usize),
        others: &[&str],
    ) -> Result<Self, InvalidRequest> {
        let limit = match query.remove("limit").map(|limit| limit.parse::<usize>()) {
            None => limit_default,
            Some(Ok(limit)) if (1..=limit_max).contains(&limit) => limit,
            Some(_) => {
                let problem = format_args!("expected a value from 1 to {limit_max}.");
                return Err(InvalidRequest::value("limit", problem));
            }
        };
        let descending = match query.remove("order").as_deref() {
            None | Some("desc") => true,
            Some("asc") => false,
            Some(_) => {
                let problem = "expected one of 'asc' and 'desc'.";
                return Err(InvalidRequest::value("order", problem));
            }
        };
        let after = query.remove("after");
        if let Some(name) = query.keys().find(|name| !others.contains(&name.as_str())) {
            return Err(InvalidRequest::unknown(name.as_str()));
        }
        Ok(Self { after, limit, descending, others: query })
    }

    /// A field that only this list knows.
    pub fn other(&self, name: &str) -> Option<&str> {
        self.others.get(name).map(String::as_str)
    }

    /// The page of `entries`, which are oldest first.
    pub fn page<T>(
        &self,
        mut entries: Vec<T>,
        id: impl Fn(&T) -> &str,
    ) -> Result<Page<T>, InvalidRequest> {
        if self.descending {
            entries.reverse();
        }
        let start = match &self.after {
            None => 0,
            Some(after) => match entries.iter().position(|entry| id(entry) == after) {
                Some(index) => index + 1,
                None => {
                    let problem = format_args!("nothing in this list has the id '{after}'.");
                    return Err(InvalidRequest::value("after", problem));
                }
            },
        };
        let mut data: Vec<T> = entries.into_iter().skip(start).take(self.limit + 1).collect();
        let has_more = data.len() > self.limit;
        data.truncate(self.limit);
        Ok(Page::new(data, has_more, id))
    }
}
