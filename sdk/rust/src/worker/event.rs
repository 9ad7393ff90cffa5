//! What is told to whoever runs the worker: its end, in good order or not.

use crate::worker::Error;
use crate::worker::routes::Routes;
use tokio::sync::mpsc;

/// What the worker as a whole is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// The connection cannot go on.
    Fatal(Error),
    /// It is draining, and no run is left.
    Drained,
    /// The user wants the worker to stop.
    Drain,
}

/// Waits until a drain has ended, or the connection for good.
pub(crate) async fn served(
    routes: &Routes,
    events: &mut mpsc::UnboundedReceiver<Event>,
) -> Result<(), Error> {
    while let Some(event) = events.recv().await {
        match event {
            Event::Fatal(error) => return Err(error),
            Event::Drain => routes.drain(),
            Event::Drained if routes.is_empty() => return Ok(()),
            Event::Drained => {}
        }
    }
    Ok(())
}
