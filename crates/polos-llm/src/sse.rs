//! Server-sent events, from bytes that may be cut anywhere.
//!
//! Follows the HTML standard's "interpreting an event stream", with two limits of our own: the size
//! of one event, and that what is left unfinished at the end of input is thrown away.

use crate::caps;

/// Is one event, as it was dispatched by its empty line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `event` field; empty when there was none.
    pub(crate) name: String,
    /// The `data` fields, joined with line feeds.
    pub(crate) data: String,
}

/// Says that an event is larger than a reply may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Collects bytes into lines and lines into events.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return, so a line feed right after it ends no further line.
    after_cr: bool,
    /// A byte order mark may stand only before the first line.
    past_first_line: bool,
}

impl Decoder {
    /// Takes the next bytes and appends the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLarge> {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.grow_line(rest)?;
                break;
            };
            self.grow_line(&rest[..end])?;
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            self.end_line(events);
        }
        Ok(())
    }

    fn grow_line(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if self.line.len() + self.data.len() + bytes.len() > caps::EVENT_BYTES_MAX {
            return Err(TooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.past_first_line, true) && line.starts_with(b"\xEF\xBB\xBF")
        {
            line.drain(..3);
        }
        if line.is_empty() {
            self.dispatch(events);
        } else {
            self.field(&line);
        }
        // The buffer goes back, so that a stream of many lines allocates once.
        line.clear();
        self.line = line;
    }

    fn field(&mut self, line: &[u8]) {
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (field, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => value.clone_into(&mut self.name),
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            // A comment (no name before the colon), `id`, `retry`, or a field of the future.
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.has_data) {
            events.push(Event { name: text(&name), data: text(&data) });
        }
    }
}

/// Whole lines only are decoded, so a character cut between two reads is whole again here.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(chunks: &[&[u8]]) -> Vec<Event> {
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        for chunk in chunks {
            decoder.push(chunk, &mut events).unwrap();
        }
        events
    }

    fn check(input: &str, expect: &[(&str, &str)]) {
        let expect: Vec<_> = expect
            .iter()
            .map(|(name, data)| Event { name: (*name).into(), data: (*data).into() })
            .collect();
        assert_eq!(decode(&[input.as_bytes()]), expect, "{input:?}");
    }

    #[test]
    fn reads_what_the_standard_says() {
        check("data: a\n\n", &[("", "a")]);
        check("event: x\r\ndata: a\r\n\r\n", &[("x", "a")]);
        check("event:x\rdata:a\r\rdata:b\r\r", &[("x", "a"), ("", "b")]);
        check("data: a\ndata:  b\ndata\n\n", &[("", "a\n b\n")]);
        check("\u{feff}data: a\n\n", &[("", "a")]);
        check("data: \u{feff}\n\n\u{feff}data: b\n\n", &[("", "\u{feff}")]);
        check(": ping\n\nid: 1\nretry: 5\nnew: x\n\ndata: a\n\n", &[("", "a")]);
        check("event: lonely\n\ndata: a\n\n", &[("", "a")]);
        check("data:\n\n", &[("", "")]);
        check("data: unfinished\n", &[]);
        check("data: {\"a\": \"b: c\"}\n\n", &[("", "{\"a\": \"b: c\"}")]);
    }

    #[test]
    fn bad_utf8_is_replaced_and_does_not_stop_the_stream() {
        let events = decode(&[b"data: a\xFFb\n\ndata: c\n\n"]);
        assert_eq!(events[0].data, "a\u{fffd}b");
        assert_eq!(events[1].data, "c");
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        let megabyte = vec![b'x'; 1024 * 1024];
        decoder.push(b"data: ", &mut events).unwrap();
        let refused = (0..9).find(|_| decoder.push(&megabyte, &mut events).is_err());
        assert_eq!(refused, Some(7));
        let (mut decoder, line) = (Decoder::default(), [b"data: ", &megabyte[..], b"\n"].concat());
        assert!((0..9).any(|_| decoder.push(&line, &mut events).is_err()));
        assert!(events.is_empty());
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just(String::new()),
                    "(data|event|id|:|\u{feff}data)(: ?[aé€😀:\u{feff} ]{0,5})?",
                    "[a-z: é😀]{0,8}",
                ],
                0..12,
            ),
            ends in proptest::collection::vec(prop_oneof![Just("\n"), Just("\r\n"), Just("\r")], 12),
        ) {
            let text: String = lines.iter().zip(ends.iter().cycle()).flat_map(|(l, e)| [l.as_str(), e]).collect();
            let bytes = text.as_bytes();
            let whole = decode(&[bytes]);
            for cut in 0..=bytes.len() {
                prop_assert_eq!(&decode(&[&bytes[..cut], &bytes[cut..]]), &whole);
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&decode(&single), &whole);
        }
    }
}
