//! A response in events.

use axum::response::Response;
use phial_openai::metering::Owner;
use phial_openai::{Item, NumberedEvent, ResponseEvent, ResponseStatus};

use super::draft::Draft;
use super::store;
use crate::answer::{Rounds, Step};
use crate::api_error::ApiError;
use crate::server::Server;
use crate::sse::{self, Outbox, Streamed};

/// Answers at once with headers, and with the rest as it comes; `lists` are items that list tools.
/// What was said is stored with `input`, if that is given, once it is whole.
pub(super) fn respond(
    server: &Server,
    (draft, lists): (Draft, Vec<Item>),
    rounds: Rounds,
    (input, owner): (Option<Vec<Item>>, Option<Owner>),
) -> Response {
    let mut events = Events { server: server.clone(), draft, rounds, input, owner, count: 0 };
    let mut begun = Outbox::default();
    let told = events.draft.begin();
    events.send(told, &mut begun);
    let told = events.draft.list(lists);
    events.send(told, &mut begun);
    sse::respond(events, begun, server.options().ping_interval)
}

/// The events of a response. Dropped with the connection, and the answer with it.
struct Events {
    server: Server,
    draft: Draft,
    rounds: Rounds,
    input: Option<Vec<Item>>,
    owner: Option<Owner>,
    /// Events made.
    count: usize,
}

impl Streamed for Events {
    type Step = Step;

    async fn step(&mut self) -> Result<Option<Step>, ApiError> {
        Ok(self.rounds.next().await?.map(|(_, step)| step))
    }

    fn tell(&mut self, step: Step, out: &mut Outbox) {
        self.draft.read_on(self.rounds.later_prompt_tokens());
        let told = self.draft.step(&self.server, step);
        // Before the client hears of the end, for it may go on from there at once.
        if self.draft.response().status != ResponseStatus::InProgress {
            let owner = self.owner.take();
            store(&self.server, self.draft.response(), self.input.take(), owner);
        }
        self.send(told, out);
    }

    fn finish(&mut self, _out: &mut Outbox) {}

    fn fail(&mut self, error: &ApiError, out: &mut Outbox) {
        let told = self.draft.fail(error.to_string());
        self.send(vec![told], out);
    }
}

impl Events {
    fn send(&mut self, told: Vec<ResponseEvent>, out: &mut Outbox) {
        for event in told {
            let name = event.name();
            let numbered = NumberedEvent { event, sequence_number: self.count };
            self.count += 1;
            out.named_event(name, serde_json::to_vec(&numbered));
        }
    }
}
