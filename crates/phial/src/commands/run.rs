//! `phial run`: one answer, or a chat.

use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use phial_engine::{
    AdapterId, Engine, Event, FinishReason, Limits, Progress, Request, Sampling, SamplingOptions,
};
use phial_model::{Forward, Model, Precision};
use phial_text::{ChatTemplate, Message, Prompt, Tokenizer};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::bundle::Bundle;
use crate::cli;
use crate::commands::serve::{entropy, limits};
use crate::locate::locate;

/// Prompt tokens that are read between two looks at Ctrl-C.
const STEP_TOKENS: usize = 256;

pub fn run(arguments: &cli::Run) -> Result<()> {
    ensure!(arguments.max_tokens != Some(0), "--max-tokens is 0; it must be at least 1");
    let sampling = Sampling::new(SamplingOptions {
        temperature: arguments.temperature,
        top_p: arguments.top_p,
        seed: arguments.seed,
        ..SamplingOptions::default()
    })?;
    let located = locate(arguments.model.model.as_deref(), arguments.model.offline)?;
    let mut bundle = Bundle::load(&located.path, Precision::Auto, &arguments.model)?;
    let adapter = match &arguments.adapter {
        Some(folder) => Some(bundle.model.load_adapter(folder)?),
        None => None,
    };
    let (mut model, text) = bundle.text()?;
    model.choose_kv(arguments.model.kv_element(), model.context_max())?;
    let limits = Limits {
        running_max: 1,
        adapters: 1,
        step_tokens_max: STEP_TOKENS,
        ..limits(&model, None)
    };
    let tokenizer = Arc::clone(&text.tokenizer);
    let engine = Engine::new(Arc::new(model), Some(tokenizer), limits, entropy())?;
    let mut chat = Chat {
        engine,
        tokenizer: text.tokenizer,
        template: text.template,
        stop_tokens: text.stop_tokens,
        sampling,
        adapter,
        tokens_max: arguments.max_tokens,
        messages: Vec::new(),
        interrupted: Arc::new(AtomicBool::new(false)),
    };
    chat.begin(arguments.system.as_deref());
    if let Some(prompt) = &arguments.prompt {
        return chat.once(prompt);
    }
    if !std::io::stdin().is_terminal() {
        let mut prompt = String::new();
        std::io::stdin().read_to_string(&mut prompt).context("cannot read standard input")?;
        return chat.once(prompt.trim_end());
    }
    chat.talk(&located.name)
}

struct Chat {
    engine: Engine<Model>,
    tokenizer: Arc<Tokenizer>,
    template: Option<ChatTemplate>,
    stop_tokens: Vec<u32>,
    sampling: Sampling,
    adapter: Option<AdapterId>,
    tokens_max: Option<usize>,
    messages: Vec<Message>,
    /// Set by Ctrl-C while an answer is made.
    interrupted: Arc<AtomicBool>,
}

impl Chat {
    fn begin(&mut self, system: Option<&str>) {
        self.messages.clear();
        self.messages.extend(system.map(|text| Message::new("system", text)));
    }

    fn once(&mut self, prompt: &str) -> Result<()> {
        self.messages.push(Message::new("user", prompt));
        self.answer()?;
        Ok(())
    }

    /// Reads lines until the user leaves.
    fn talk(&mut self, name: &str) -> Result<()> {
        let interrupted = Arc::clone(&self.interrupted);
        ctrlc::set_handler(move || interrupted.store(true, Ordering::Relaxed))
            .context("cannot listen for Ctrl-C")?;
        let system = self.messages.clone();
        println!("Chat with {name}. /new starts over, Ctrl-C stops an answer, Ctrl-D leaves.");
        let mut editor = DefaultEditor::new().context("cannot use this terminal")?;
        loop {
            let line = match editor.readline("> ") {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => {
                    println!("(Ctrl-D leaves)");
                    continue;
                }
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(error).context("cannot read from this terminal"),
            };
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            // A history that cannot be kept is no reason to stop talking.
            let _ = editor.add_history_entry(line);
            match line {
                "/new" => self.messages.clone_from(&system),
                "/exit" | "/quit" | "/bye" => return Ok(()),
                _ => self.turn(line)?,
            }
        }
    }

    /// One question and its answer; a conversation that outgrew the context goes on without it.
    fn turn(&mut self, line: &str) -> Result<()> {
        self.messages.push(Message::new("user", line));
        match self.answer() {
            Ok(answer) => {
                self.messages.push(Message::new("assistant", answer));
                Ok(())
            }
            Err(error) if error.is::<phial_engine::Rejected>() => {
                self.messages.pop();
                eprintln!("{}; /new starts over", crate::one_line(&error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Streams the answer to standard output and returns it.
    fn answer(&mut self) -> Result<String> {
        let prompt = match &self.template {
            Some(template) => template.render(&self.messages, None, true)?,
            // A model without a template goes on with the text as it is.
            None => Prompt::from_text(
                self.messages.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("\n"),
            ),
        };
        let request = Request {
            tokens_max: self.tokens_max,
            sampling: self.sampling.clone(),
            stop_tokens: self.stop_tokens.clone(),
            adapter: self.adapter,
            ..Request::new(self.tokenizer.encode_prompt(&prompt))
        };
        self.interrupted.store(false, Ordering::Relaxed);
        let id = self.engine.submit(request, Duration::ZERO)?;
        let mut out = std::io::stdout().lock();
        let mut answer = String::new();
        let mut cut = false;
        let mut events = Vec::new();
        // Between steps, so that Ctrl-C stops the reading of a long prompt too.
        while !self.interrupted.load(Ordering::Relaxed)
            && self.engine.step(Duration::ZERO, &mut events) != Progress::Idle
        {
            for event in events.drain(..) {
                let text = match &event {
                    Event::Token { text, .. } => text,
                    Event::Finished { text, reason, .. } => {
                        cut = *reason == FinishReason::Length;
                        text
                    }
                    // Nothing of the prompt was asked for.
                    Event::PromptLogprobs { .. } | Event::PromptHidden { .. } => continue,
                };
                answer.push_str(text);
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
        }
        // Nothing is left of one that finished.
        self.engine.cancel(id);
        writeln!(out)?;
        if cut {
            eprintln!("(cut: the limit of tokens was reached)");
        }
        Ok(answer)
    }
}
