//! A connection within the process: frames as text both ways, as on the socket.

use super::{Admission, Incoming, Outgoing, Text, connection};
use crate::driver::Handle;
use futures_util::{sink, stream};
use polos_protocol::Namespace;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many frames may wait in each direction.
const FRAMES_MAX: usize = 256;

impl Handle {
    /// Connects a worker of this process: what it sends goes into the sender, what it is to hear
    /// comes from the receiver, one frame a text. Dropping the sender ends the connection; the
    /// receiver ends when the server has ended it. The connection lives in the runtime in which the
    /// server was made.
    pub fn attach_worker(
        &self,
        namespace: Namespace,
    ) -> (mpsc::Sender<String>, mpsc::Receiver<String>) {
        let (to_server, from_worker) = mpsc::channel::<String>(FRAMES_MAX);
        let (to_worker, from_server) = mpsc::channel::<String>(FRAMES_MAX);
        let incoming = stream::unfold(from_worker, async |mut frames| {
            let text = frames.recv().await?;
            Some((Incoming::Text(Text::Memory(text)), frames))
        });
        let outgoing = sink::unfold(Some(to_worker), async |sender, out| match (sender, out) {
            (Some(sender), Outgoing::Text(text)) => {
                sender.send(text).await.map(|()| Some(sender)).map_err(drop)
            }
            _ => Ok(None),
        });
        let (revoked, stopping) = (CancellationToken::new(), CancellationToken::new());
        let admission = Admission { namespace, revoked, stopping };
        let handle = self.clone();
        self.spawn(async move {
            let (incoming, outgoing) = (Box::pin(incoming), Box::pin(outgoing));
            connection::serve(handle, admission, incoming, outgoing).await;
        });
        (to_server, from_server)
    }
}
