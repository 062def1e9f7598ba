//! A part of the head gives the bits of the whole.

use std::path::Path;

use phial_model::{
    AllowedTokens, Batch, BlockId, Forward, KvPool, LoadOptions, Model, Outputs, Precision, Regime,
    Scratch, Span,
};

struct Sets(Vec<Vec<u32>>);

impl AllowedTokens for Sets {
    fn of_rows(&self) -> Vec<Option<&[u32]>> {
        self.0.iter().map(|words| Some(words.as_slice())).collect()
    }
}

fn set(vocabulary: usize, tokens: &[usize]) -> Vec<u32> {
    let mut words = vec![0; vocabulary.div_ceil(32)];
    tokens.iter().for_each(|token| words[token / 32] |= 1 << (token % 32));
    words
}

#[test]
fn allowed_logits_are_those_of_the_whole_head() {
    for folder in ["text-q", "text-tiny"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(folder);
        let options = LoadOptions::new(Precision::Auto, Some(2)).expect("a tier");
        let model = Model::load(&folder, &options).unwrap_or_else(|error| panic!("{error}"));
        let vocabulary = model.vocabulary();
        let tokens = [[5, 17, 40], [9, 2, 11]];
        let blocks = [[BlockId(0)], [BlockId(1)]];
        let span = |index: usize| Span {
            tokens: &tokens[index],
            start: 0,
            blocks: &blocks[index],
            regime: Regime::Short,
            adapter: None,
            outputs: Outputs::Last(1),
        };
        let spans = [span(0), span(1)];
        let batch = Batch { spans: &spans };
        let run = |sets: Option<&Sets>| {
            let mut kv = KvPool::new(model.kv_layout(), 2);
            let mut scratch = Scratch::new();
            let logits = match sets {
                None => model.forward(&batch, &mut kv, &mut scratch),
                Some(sets) => model.forward_allowed(&batch, sets, &mut kv, &mut scratch),
            };
            logits.values.to_vec()
        };
        let whole = run(None);
        let last = vocabulary - 1;
        let few = [vec![0, 3], vec![3, last]];
        let part = run(Some(&Sets(few.iter().map(|few| set(vocabulary, few)).collect())));
        assert_eq!(part.len(), whole.len());
        for (row, tokens) in few.iter().enumerate() {
            for &token in tokens {
                let at = row * vocabulary + token;
                assert_eq!(part[at].to_bits(), whole[at].to_bits(), "row {row}, token {token}");
            }
        }
        let computed = part.iter().filter(|logit| **logit > f32::NEG_INFINITY).count();
        assert!(vocabulary < 8 * 2 * 16 || computed <= 2 * 2 * 16, "{computed} computed");
        // Too many to pick from: all are computed.
        let all: Vec<usize> = (0..vocabulary).collect();
        assert_eq!(run(Some(&Sets(vec![set(vocabulary, &all); 2]))), whole);
    }
}
