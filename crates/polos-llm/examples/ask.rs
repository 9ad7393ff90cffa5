//! Asks one question, shows the answer as it comes, then what it cost.
//!
//! `ANTHROPIC_API_KEY=… cargo run -p polos-llm --example ask -- "why is the sky blue?"`; for a
//! server of your own set `OPENAI_API_KEY`, `OPENAI_BASE_URL` and `OPENAI_MODEL`.

use std::io::{Write as _, stderr, stdout};
use std::process::ExitCode;

use polos_llm::{Delta, Error, Prices, Request, from_env};

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = ask().await else { return ExitCode::SUCCESS };
    let _ = writeln!(stderr(), "error: {error}");
    if let Some(hint) = error.hint() {
        let _ = writeln!(stderr(), "hint: {hint}");
    }
    ExitCode::FAILURE
}

async fn ask() -> Result<(), Error> {
    let question = std::env::args().nth(1).unwrap_or_else(|| "Say hello in one word.".into());
    let chosen = from_env()?;
    let request = Request { max_tokens: Some(1_000), ..Request::new(chosen.model()?, question) };
    let mut on_delta = |delta| {
        if let Delta::Text { text } = delta {
            let _ = write!(stdout(), "{text}");
            let _ = stdout().flush();
        }
    };
    let response = chosen.provider.stream(&request, &mut on_delta).await?;
    let cost = Prices::builtin().cost(&response.usage, &response.model);
    let cost = cost.map_or("unknown price".into(), |cost| format!("{} microdollars", cost.micros));
    let _ = writeln!(stdout());
    let _ = writeln!(stderr(), "{}: {:?}, {cost}", response.model, response.usage);
    Ok(())
}
