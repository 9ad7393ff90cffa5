//! Leads the demo from its opening to its summary.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use polos_protocol::rest::{Approval, StartRequest};
use polos_protocol::{Json, Kind, RunId, State};
use polos_sandbox::Level;
use polos_sdk::client::ClientError;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;

use super::answer::{self, Answer, Typed};
use super::crew::{CODER, TESTER};
use super::place::{Job, Place};
use super::repository::{self, Base};
use super::stage::Stage;
use super::summary::{Outcome, Summary, quoted};
use super::tale::{self, Spent};
use super::voice::Voice;
use super::watch::Watch;
use super::workflow::{self, Ended, Order};
use super::{Args, ledger, worker};
use crate::command::approvals::show;
use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::show::paint::{Paint, Tone};
use crate::show::{moment, text};
use crate::{prompt, talk};

/// Between two looks at the journal.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The same while there is something to kill.
const LOOK_EVERY_CRASH: Duration = Duration::from_millis(25);
/// How long a new worker's first run is waited for.
const RETURN_MAX_MS: u64 = 5_000;
/// The pause in which the worker is killed: a call of the model that is under way when its worker
/// dies has no recorded answer, and would have to be made again.
const PAUSE_MS: u64 = 1_500;
/// Lines of the change that are shown before the person asks for all of it.
const DIFF_LINES: usize = 60;

/// Directs a demo: sets it up, or goes on with one that was begun.
pub(crate) async fn direct(args: Args, place: &Place, context: &Context) -> Result<Exit> {
    check_sandbox().await?;
    let brain = worker::brain()?;
    let mut voice = Voice::new();
    let (job, base) = match place.job()? {
        Some(job) => (job, None),
        None => set_up(&args, place)?,
    };
    open(&mut voice, &args, place, &job, &brain);
    if let Some(base) = &base {
        fill(place, &job, base, &mut voice)?;
    }
    place.keep(&job)?;
    let mut show = Show {
        is_scripting: context.is_json() || !args.answer.is_empty(),
        answers: args.answer.into(),
        crash: if args.crash { Crash::Worker } else { Crash::None },
        is_scripted: brain.is_scripted,
        place: place.clone(),
        job,
        voice,
        spent: Spent::default(),
        kills: 0,
        struck: None,
        asked: HashSet::new(),
        asking: None,
        lines: None,
    };
    let played = tokio::select! {
        played = Box::pin(show.play()) => Some(played),
        () = crate::host::asked_to_end() => None,
    };
    show.voice.clear();
    match played {
        Some(played) => played,
        None => Ok(show.leave()),
    }
}

/// No isolation, no demo: it runs what a model says.
async fn check_sandbox() -> Result<()> {
    let probe = tokio::task::spawn_blocking(polos_sandbox::probe).await?;
    if probe.level >= Level::L2 {
        return Ok(());
    }
    let missing = probe.findings.iter().filter(|finding| !finding.is_there);
    let said: Vec<String> = missing
        .map(|finding| {
            let mend = finding.mend.as_deref().unwrap_or_default();
            format!("{}: {} {mend}", finding.what, finding.detail)
        })
        .collect();
    Err(Problem::new(
        "no_isolation",
        format!(
            "the demo runs commands that a model chooses, and this machine cannot isolate them:\n{}",
            said.join("\n")
        ),
        "`polos doctor` says more of this machine",
    ))
}

fn set_up(args: &Args, place: &Place) -> Result<(Job, Option<Base>)> {
    let (job, base) = match (&args.repo, &args.issue) {
        (Some(repo), Some(issue)) => Place::their_job(repo, issue)?,
        _ => place.our_job()?,
    };
    Ok((job, Some(base)))
}

/// Copies the repository into the workspace of the box.
fn fill(place: &Place, job: &Job, base: &Base, voice: &mut Voice) -> Result<()> {
    if base.dirty {
        let said = "changes that are not committed stay out: the agents see the last commit";
        voice.fact("note", said);
    }
    let workspace = worker::boxes(place).workspace(&worker::box_id());
    if workspace.join(".git").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&workspace)?;
    repository::fill(&workspace, base, &job.branch)
}

/// Says at once what this is, and how long it takes.
fn open(voice: &mut Voice, args: &Args, place: &Place, job: &Job, brain: &worker::Brain) {
    let going_on = if job.run.is_some() { ", going on" } else { "" };
    voice.heading(&format!("Polos demo{going_on}: three agents mend a bug, and wait for you"));
    let model = if brain.is_scripted {
        "scripted: the words are prepared, every command and test result is real\n\
         (set ANTHROPIC_API_KEY or OPENAI_API_KEY for a real model)"
            .to_owned()
    } else {
        format!("{} ({}): it costs money", brain.model.name, brain.model.provider.name())
    };
    voice.fact("model", &model);
    if brain.is_scripted && !job.is_ours {
        voice.fact(
            "note",
            "the script was written for the demo's own bug and will hardly mend this one: for your \
             repository, set a key",
        );
    }
    voice.fact("issue", job.title());
    voice.fact("repository", &job.repo.display().to_string());
    voice.fact("branch", &job.branch);
    voice.fact("sandbox", "local: namespaces, Landlock and seccomp; no network");
    voice.fact("folder", &place.root().display().to_string());
    if args.crash {
        voice.fact("crash", "the worker is killed after the coder, the server during the tester");
    }
    let takes = if brain.is_scripted { "half a minute, then it waits for you" } else { "minutes" };
    voice.fact("takes", takes);
    voice.line("");
}

/// What is still to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    None,
    Worker,
    Server,
    Done,
}

/// A demo that runs.
struct Show {
    place: Place,
    job: Job,
    voice: Voice,
    is_scripted: bool,
    /// Somebody reads the last line.
    is_scripting: bool,
    answers: VecDeque<Answer>,
    crash: Crash,
    kills: u32,
    /// When something was killed and nothing has been recorded since.
    struck: Option<Instant>,
    spent: Spent,
    /// Questions that have been shown.
    asked: HashSet<polos_protocol::ApprovalId>,
    /// The question that the person is looking at.
    asking: Option<Asking>,
    lines: Option<UnboundedReceiver<String>>,
}

struct Asking {
    approval: Approval,
    /// The person has said no, and is asked why.
    wants_why: bool,
}

/// Why the show stops before its end.
enum Cue {
    GoOn,
    Ended,
    Leave,
}

impl Show {
    async fn play(&mut self) -> Result<Exit> {
        let mut stage = Stage::set(&self.place, &self.job).await?;
        let (server, worker) = stage.ids();
        self.voice.event("demo", Some(Tone::Dim), &format!("server {server}, worker {worker}"));
        let run = self.start(&stage).await?;
        let mut watch = Watch::new(run);
        loop {
            match self.turn(&mut stage, &mut watch).await? {
                Cue::GoOn => {}
                Cue::Ended => break,
                Cue::Leave => return Ok(self.leave()),
            }
            let is_hunting = matches!(self.crash, Crash::Worker | Crash::Server);
            let pause = if is_hunting { LOOK_EVERY_CRASH } else { LOOK_EVERY };
            tokio::time::sleep(pause).await;
        }
        let ended = self.result(&stage, run).await?;
        drop(stage);
        self.finish(&ended, &watch)
    }

    /// Starts the run, once: a second start under the same key is the first one.
    async fn start(&mut self, stage: &Stage) -> Result<RunId> {
        let order = Order {
            title: self.job.title().to_owned(),
            issue: self.job.issue.clone(),
            base: self.job.base.clone(),
            branch: self.job.branch.clone(),
            pause_ms: if self.crash == Crash::None { 0 } else { PAUSE_MS },
        };
        let request = StartRequest {
            workflow: workflow::NAME.to_owned(),
            input: Json::from_serialize(&order)?,
            key: Some("demo".to_owned()),
            ..StartRequest::default()
        };
        let started = stage.client()?.start_run(&request).await?;
        self.job.run = Some(started.id);
        self.place.keep(&self.job)?;
        self.voice.event("demo", Some(Tone::Dim), &format!("run {}", started.id));
        Ok(started.id)
    }

    /// One look at everything, and what follows from it.
    async fn turn(&mut self, stage: &mut Stage, watch: &mut Watch) -> Result<Cue> {
        stage.check()?;
        let news = match watch.look(stage.client()?).await {
            Ok(news) => news,
            Err(error) if is_passing(&error) => {
                self.voice.waiting("the server does not answer");
                return Ok(Cue::GoOn);
            }
            Err(error) => return Err(error),
        };
        for (who, record) in &news {
            if record.kind() == Kind::Step
                && let Some(struck) = self.struck.take()
            {
                let after = moment::duration(millis(struck.elapsed()));
                let said = format!("the next step is recorded {after} after the kill");
                self.voice.event("demo", Some(Tone::Good), &said);
            }
            tale::tell(&mut self.voice, who, record, &mut self.spent);
        }
        self.strike(stage, watch).await?;
        if watch.state().is_ended() {
            return Ok(Cue::Ended);
        }
        if let Some(blocked) = watch.blocked() {
            return Err(self.blocked(stage, blocked).await?);
        }
        let cue = self.questions(stage, watch).await?;
        if self.asking.is_none() {
            self.voice.waiting(&watch.busy_with());
        }
        Ok(cue)
    }

    /// Kills what is to be killed, when its moment has come.
    async fn strike(&mut self, stage: &mut Stage, watch: &Watch) -> Result<()> {
        match self.crash {
            Crash::Worker if watch.runs_of(CODER).any(|run| run.state == State::Completed) => {
                self.crash = Crash::Server;
                self.kills += 1;
                let (at, known) = (moment::now(), worker::begins(&self.place).len());
                let (old, new) = stage.strike_worker()?;
                let said = format!("KILL -9: worker {old}, right after the coder");
                self.voice.event("demo", Some(Tone::Attention), &said);
                self.returned((at, known), new, watch).await;
            }
            Crash::Server
                if watch
                    .runs_of(TESTER)
                    .any(|run| !run.state.is_ended() && !run.records.is_empty()) =>
            {
                self.crash = Crash::Done;
                self.kills += 1;
                self.struck = Some(Instant::now());
                let (old, new, away) = stage.strike_server().await?;
                let away = moment::duration(millis(away));
                let said = format!(
                    "KILL -9: server {old}, while the tester works; server {new} answers {away} later"
                );
                self.voice.event("demo", Some(Tone::Attention), &said);
            }
            _ => {}
        }
        Ok(())
    }

    /// Says when the run is with the new worker.
    async fn returned(&mut self, (at, known): (u64, usize), worker: u32, watch: &Watch) {
        while moment::now().saturating_sub(at) < RETURN_MAX_MS {
            let begins = worker::begins(&self.place);
            if let Some(begin) = begins.get(known) {
                let after = moment::duration(begin.at.saturating_sub(at));
                let replayed = watch.journaled(&begins[known..=known]).replayed;
                let said = format!(
                    "worker {worker} has the run {after} later, and knows {replayed} steps from the \
                     journal"
                );
                return self.voice.event("demo", Some(Tone::Good), &said);
            }
            tokio::time::sleep(LOOK_EVERY_CRASH).await;
        }
    }

    /// Puts what is asked of the person, and takes their answer.
    async fn questions(&mut self, stage: &Stage, watch: &Watch) -> Result<Cue> {
        let open = match watch.questions(stage.client()?).await {
            Ok(open) => open,
            Err(error) if is_passing(&error) => return Ok(Cue::GoOn),
            Err(error) => return Err(error),
        };
        if let Some(asking) = &self.asking
            && !open.iter().any(|approval| approval.id == asking.approval.id)
        {
            self.voice.line("");
            self.voice.event("demo", Some(Tone::Attention), "answered from elsewhere");
            self.asking = None;
        }
        for approval in open {
            if self.asking.is_none() && self.asked.insert(approval.id) {
                self.put(stage, approval).await?;
            }
        }
        if self.asking.is_some() { self.listen(stage).await } else { Ok(Cue::GoOn) }
    }

    /// Shows a question; answers it from the command line, or begins to ask.
    async fn put(&mut self, stage: &Stage, approval: Approval) -> Result<()> {
        let is_review = approval.workflow == workflow::NAME;
        self.voice.clear();
        if is_review {
            self.show_change(&approval, DIFF_LINES);
        } else {
            let told = show::told(&approval, Paint::for_stderr(), moment::now());
            self.voice.line(&told);
        }
        if self.is_scripting {
            let answer = if is_review {
                self.answers.pop_front().unwrap_or(Answer::Approve)
            } else {
                Answer::Approve
            };
            return self.decide(stage, &approval, answer).await;
        }
        let data = quoted(&self.place.data());
        let id = approval.id;
        self.voice.line(&format!(
            "\n  The run is parked: it holds no thread and no memory. Answer here, or from anywhere:\n  \
             polos approvals approve {id} --data-dir {data}\n  \
             polos approvals reject {id} --feedback '…' --data-dir {data}\n"
        ));
        self.ask_again();
        self.asking = Some(Asking { approval, wants_why: false });
        Ok(())
    }

    fn show_change(&mut self, approval: &Approval, lines: usize) {
        self.voice.heading(&text::plain(&approval.question.title));
        let subject = &approval.question.subject;
        if let Some(said) = subject["text"].as_str() {
            self.voice.line("");
            self.voice.event("coder", None, said);
        }
        let diff = subject["diff"].as_str().unwrap_or_default().to_owned();
        self.voice.diff(&diff, lines);
    }

    fn ask_again(&mut self) {
        if prompt::is_possible() {
            let question =
                "  [a]pprove, [r]eject FEEDBACK, [d]iff in full, [q]uit and answer later > ";
            self.voice.prompt(question);
        } else {
            self.voice.line("  Waiting for the answer.");
        }
    }

    /// Reads what was typed, if anything was.
    async fn listen(&mut self, stage: &Stage) -> Result<Cue> {
        if !prompt::is_possible() {
            return Ok(Cue::GoOn);
        }
        let lines = self.lines.get_or_insert_with(answer::lines);
        let line = match lines.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Empty) => return Ok(Cue::GoOn),
            Err(TryRecvError::Disconnected) => return Ok(Cue::Leave),
        };
        let Some(asking) = &mut self.asking else { return Ok(Cue::GoOn) };
        if asking.wants_why && !line.trim().is_empty() {
            return self.take(stage, Answer::Reject(line.trim().to_owned())).await;
        }
        match Typed::read(&line) {
            Typed::Answer(answer) => return self.take(stage, answer).await,
            Typed::Leave => return Ok(Cue::Leave),
            Typed::Why => {
                asking.wants_why = true;
                self.voice.prompt("  What should be different? > ");
            }
            Typed::Show => {
                let approval = asking.approval.clone();
                self.show_change(&approval, usize::MAX);
                self.ask_again();
            }
            Typed::Unclear => self.ask_again(),
        }
        Ok(Cue::GoOn)
    }

    async fn take(&mut self, stage: &Stage, answer: Answer) -> Result<Cue> {
        if let Some(asking) = self.asking.take() {
            self.decide(stage, &asking.approval, answer).await?;
        }
        Ok(Cue::GoOn)
    }

    async fn decide(&mut self, stage: &Stage, approval: &Approval, answer: Answer) -> Result<()> {
        let said = match &answer {
            Answer::Approve => "approved".to_owned(),
            Answer::Reject(why) => format!("sent back: {why}"),
        };
        let request = answer.into_request(approval.question.subject_hash.clone());
        stage.client()?.decide(approval.id, &request).await?;
        self.voice.line("");
        self.voice.event("you", Some(Tone::Strong), &said);
        Ok(())
    }

    async fn blocked(&self, stage: &Stage, run: RunId) -> Result<anyhow::Error> {
        let detail = stage.client()?.run(run).await?;
        let (message, hint) = match detail.blocked {
            Some(blocked) => (blocked.message, blocked.hint),
            None => (detail.summary.why, String::new()),
        };
        let data = quoted(&self.place.data());
        let message = format!("`{}` is blocked ({run}): {message}", detail.summary.workflow);
        Ok(Problem::new("demo_blocked", message, format!("{hint}\nits data directory is {data}")))
    }

    async fn result(&self, stage: &Stage, run: RunId) -> Result<Ended> {
        let result = stage.client()?.result(run, Duration::from_secs(10)).await?;
        match (result.output, result.error) {
            (Some(output), _) => output.parse().context("the workflow's output"),
            (None, error) => {
                let why = error.map_or_else(|| result.state.name().to_owned(), |e| e.message);
                Err(Problem::new("demo_failed", format!("the run has not completed: {why}"), ""))
            }
        }
    }

    /// Brings the branch home, counts, and says how it went.
    fn finish(&mut self, ended: &Ended, watch: &Watch) -> Result<Exit> {
        let patch = match (&ended.commit, ended.outcome) {
            (Some(commit), Outcome::Approved) => {
                let boxes = worker::boxes(&self.place);
                let bundle = self.place.bundle();
                repository::take_bundle(&boxes.workspace(&worker::box_id()), &bundle)?;
                repository::import(&self.job.repo, &bundle, &self.job.branch, commit)?;
                let patch = self.place.patch(&self.job.branch);
                repository::write_patch(&self.job.repo, &self.job.base, &self.job.branch, &patch)?;
                Some(patch)
            }
            _ => None,
        };
        let boxes = worker::boxes(&self.place);
        let summary = Summary {
            outcome: ended.outcome,
            job: &self.job,
            place: &self.place,
            patch,
            calls: ledger::model_calls(&self.place.model_ledger())?,
            commands: ledger::commands(&boxes.ledger(&worker::box_id()))?,
            journaled: watch.journaled(&worker::begins(&self.place)),
            spent: self.spent,
            is_scripted: self.is_scripted,
            kills: self.kills,
        };
        summary.tell(&mut self.voice);
        let line = summary.line();
        if self.is_scripting {
            talk::json(&line)?;
        }
        let is_repeated = line.model_calls_repeated + line.commands_repeated > 0;
        Ok(match ended.outcome {
            _ if is_repeated => Exit::Failed,
            Outcome::NotMended => Exit::RunNotCompleted,
            Outcome::Approved | Outcome::Rejected => Exit::Done,
        })
    }

    /// Says how to go on.
    fn leave(&mut self) -> Exit {
        let root = quoted(self.place.root());
        self.voice.line(&format!(
            "\n  Everything is kept: what is recorded will not be done again.\n  \
             Go on with   polos demo --dir {root}"
        ));
        Exit::Interrupted
    }
}

/// True for what ends by itself while the server is started again.
fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ClientError>().is_some_and(ClientError::is_retryable)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
