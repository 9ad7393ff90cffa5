//! A run's events as they happen: server-sent events, resumed where they broke off.

use crate::client::{Client, ClientError};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use polos_protocol::RunId;
use polos_protocol::rest::RunEvent;
use std::collections::VecDeque;
use std::time::Duration;

/// The longest line of an event stream that is taken.
const LINE_BYTES_MAX: usize = 4 << 20;
/// How often in a row a broken stream is taken up again without an event between.
const RESUMES_MAX: u32 = 20;
/// The wait before a stream is taken up again.
const RESUME: Duration = Duration::from_millis(300);

/// An event of a run, and its place.
#[derive(Debug, Clone)]
pub struct RunUpdate {
    /// Give it to [`Client::events`] to go on after it.
    pub id: String,
    /// What happened.
    pub event: RunEvent,
}

/// The events of a run: call [`EventStream::next`] until it gives nothing more.
pub struct EventStream {
    client: Client,
    run: RunId,
    last_id: Option<String>,
    body: Option<BoxStream<'static, reqwest::Result<bytes::Bytes>>>,
    parser: Parser,
    ready: VecDeque<RunUpdate>,
    resumes: u32,
    ended: bool,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Client {
    /// A run's events from its beginning, or after an earlier one; they end with the run.
    pub fn events(&self, run: RunId, after: Option<String>) -> EventStream {
        EventStream {
            client: self.clone(),
            run,
            last_id: after,
            body: None,
            parser: Parser::default(),
            ready: VecDeque::new(),
            resumes: 0,
            ended: false,
        }
    }
}

impl EventStream {
    /// The next event; nothing once the run has ended.
    pub async fn next(&mut self) -> Option<Result<RunUpdate, ClientError>> {
        loop {
            if let Some(update) = self.ready.pop_front() {
                self.resumes = 0;
                self.last_id = Some(update.id.clone());
                if let RunEvent::State(state) = &update.event {
                    self.ended = state.state.is_ended();
                }
                return Some(Ok(update));
            }
            if let Err(error) = self.more().await {
                self.ended = true;
                self.body = None;
                return Some(Err(error));
            }
            if self.ended && self.body.is_none() && self.ready.is_empty() {
                return None;
            }
        }
    }

    async fn more(&mut self) -> Result<(), ClientError> {
        let Some(body) = &mut self.body else {
            if self.ended {
                return Ok(());
            }
            self.body = Some(self.open().await?);
            self.parser = Parser::default();
            return Ok(());
        };
        match body.next().await {
            Some(Ok(bytes)) => {
                let parsed =
                    self.parser.take(&bytes).map_err(|message| self.misunderstood(message))?;
                for event in parsed {
                    if let Some(update) = self.read(&event)? {
                        self.ready.push_back(update);
                    }
                }
                Ok(())
            }
            Some(Err(_)) | None => self.broke_off().await,
        }
    }

    async fn broke_off(&mut self) -> Result<(), ClientError> {
        self.body = None;
        if self.ended {
            return Ok(());
        }
        self.resumes += 1;
        if self.resumes > RESUMES_MAX {
            return Err(ClientError::Unreachable {
                url: self.client.address().url.clone(),
                message: "the stream of events keeps breaking off".to_owned(),
            });
        }
        tokio::time::sleep(RESUME).await;
        Ok(())
    }

    async fn open(
        &mut self,
    ) -> Result<BoxStream<'static, reqwest::Result<bytes::Bytes>>, ClientError> {
        let path = format!("/v1/runs/{}/events", self.run);
        let mut request =
            self.client.request(reqwest::Method::GET, &path).header("accept", "text/event-stream");
        if let Some(last) = &self.last_id {
            request = request.header("last-event-id", last);
        }
        let response = loop {
            let Some(attempt) = request.try_clone() else {
                return Err(self.misunderstood("the request cannot be repeated".to_owned()));
            };
            match attempt.send().await {
                Ok(response) => break response,
                Err(_) if self.resumes < RESUMES_MAX && self.last_id.is_some() => {
                    self.resumes += 1;
                    tokio::time::sleep(RESUME).await;
                }
                Err(cause) => return Err(self.client.unreachable(&cause)),
            }
        };
        let status = response.status();
        if !status.is_success() {
            let body = response.bytes().await.unwrap_or_default();
            return Err(crate::client::refused(status.as_u16(), &body));
        }
        Ok(response.bytes_stream().boxed())
    }

    fn read(&self, event: &Parsed) -> Result<Option<RunUpdate>, ClientError> {
        if event.data.is_empty() || !matches!(&*event.name, "record" | "stream" | "state") {
            return Ok(None);
        }
        // The body is the variant's content; a body that names its variant is taken too.
        let wrapped = format!("{{\"{}\":{}}}", event.name, event.data);
        let event_read = serde_json::from_str(&wrapped)
            .or_else(|_| serde_json::from_str(&event.data))
            .map_err(|cause| self.misunderstood(cause.to_string()))?;
        Ok(Some(RunUpdate { id: event.id.clone(), event: event_read }))
    }

    fn misunderstood(&self, message: String) -> ClientError {
        ClientError::Answer { path: format!("/v1/runs/{}/events", self.run), message }
    }
}

/// One event as the stream says it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Parsed {
    id: String,
    name: String,
    data: String,
}

/// Cuts a byte stream into events: any line ends, comments, data of several lines.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    event: Parsed,
    has_data: bool,
}

impl Parser {
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<Parsed>, String> {
        let mut events = Vec::new();
        for &byte in bytes {
            if byte == b'\n' && std::mem::take(&mut self.after_cr) {
                continue;
            }
            self.after_cr = byte == b'\r';
            if byte == b'\n' || byte == b'\r' {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8(line).map_err(|cause| cause.to_string())?;
                events.extend(self.end_line(&line));
            } else {
                self.line.push(byte);
                if self.line.len() > LINE_BYTES_MAX {
                    return Err("a line of the stream is too long".to_owned());
                }
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, line: &str) -> Option<Parsed> {
        if line.is_empty() {
            let id = self.event.id.clone();
            let event = std::mem::replace(&mut self.event, Parsed { id, ..Parsed::default() });
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field.trim_start_matches('\u{feff}') {
            "id" => value.clone_into(&mut self.event.id),
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_out_whatever_the_pieces() {
        let text = "\u{feff}: hi\r\n\r\nid: 1.0\r\nevent: state\r\ndata: {\"a\":\ndata: \"ä\"}\n\n\
                    id: 2.0\nevent: record\ndata: 1\n\n";
        for size in 1..8 {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                events.extend(parser.take(piece).unwrap());
            }
            assert_eq!(events.len(), 2, "pieces of {size}");
            assert_eq!(events[0].data, "{\"a\":\n\"ä\"}");
            assert_eq!((&*events[1].id, &*events[1].name), ("2.0", "record"));
        }
    }
}
