//! `polos dev`: server, native worker and the user's own worker, started again when files change.

use crate::changed::Changed;
use crate::context::Context;
use crate::exit::Exit;
use crate::native::{Native, Running};
use crate::own::Own;
use crate::project::Project;
use crate::{host, log, talk};
use anyhow::Result;
use clap::ValueEnum;
use polos_sdk::client::Client;
use polos_server::serve::{LISTEN, Options};
use polos_server::{Clock, Server};
use tokio::sync::oneshot;

/// Run server and worker in one process, and start them again when files change
///
/// The native worker runs the agents of `agents/*.toml` and reads them again when they change. A
/// worker of your own stands in `polos.toml` as `[dev] worker = "COMMAND"`; it is started again
/// when a file under `watch` changes. Runs go on where they were.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Listen on this address; port 0 takes any free one
    #[arg(long, value_name = "IP:PORT", default_value = LISTEN, env = "POLOS_LISTEN")]
    listen: String,
    /// How time passes: a virtual clock skips to the next timer when all is idle
    #[arg(long, value_enum, default_value = "real")]
    clock: Pace,
    /// Log in this form; `POLOS_LOG` says what
    #[arg(long, value_enum, default_value = "text")]
    log: log::Format,
}

/// How time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pace {
    Real,
    Virtual,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    log::start(args.log, "warn");
    let project = Project::find(&std::env::current_dir()?)?;
    let mut options = Options::new(context.data_dir()?);
    options.listen = args.listen;
    if args.clock == Pace::Virtual {
        options.clock = Clock::virtual_from_now();
    }
    let data = options.data_directory.clone();
    let server = host::start(options).await?;
    let client = Client::new(server.url(), server.token())?;
    let native = Native::new(project.agents(), data, client);
    greet(&server, &project, context)?;
    let handle = server.handle().clone();
    let own = Own::new(&project, server.url(), server.token()).map(Own::start);
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(server.run(async {
        stopped.await.ok();
    }));
    tokio::select! {
        () = watch(&native, handle) => {}
        () = native.tend() => {}
        () = host::asked_to_end() => talk::say("ending; runs go on at the next start"),
    }
    if let Some(own) = own {
        own.end().await;
    }
    stop.send(()).ok();
    native.end().await;
    serving.await??;
    Ok(Exit::Done)
}

fn greet(server: &Server, project: &Project, context: &Context) -> Result<()> {
    if context.is_json() {
        return talk::json(&serde_json::json!({ "url": server.url(), "project": project.folder }));
    }
    talk::line(&format!("polos dev at {}", server.url()))?;
    talk::say(&format!("  project  {}", project.folder.display()));
    talk::say("  look     polos agents list, polos runs list, polos runs show RUN");
    talk::say("  end      Ctrl-C; runs go on at the next start");
    Ok(())
}

/// Keeps the native worker running, started again when the agents' files change.
async fn watch(native: &Native, handle: polos_server::Handle) {
    let mut files = Changed::new(vec![native.agents.clone()]);
    let mut running = begin(native, &handle);
    loop {
        files.wait().await;
        let next = begin(native, &handle);
        // The old one goes once the new one is there; a broken file leaves it in place.
        if next.is_some()
            && let Some(old) = std::mem::replace(&mut running, next)
        {
            old.drain();
        }
    }
}

/// Starts a native worker with the agents as they stand now. What is wrong with them is told.
fn begin(native: &Native, server: &polos_server::Handle) -> Option<Running> {
    match start(native, server) {
        Ok(running) => Some(running),
        Err(error) => {
            talk::say(&format!("the agents stay as they were: {error}"));
            None
        }
    }
}

fn start(native: &Native, server: &polos_server::Handle) -> Result<Running> {
    let running = native.start(server)?;
    let place = native.agents.display();
    match native.count()? as u64 {
        0 => talk::say(&format!("no agents under {place}")),
        count => {
            let agents = crate::show::amount::counted(count, "agent");
            talk::say(&format!("{agents} from {place}"));
        }
    }
    Ok(running)
}
