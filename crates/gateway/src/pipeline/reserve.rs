//! Step 11: a request's worst case, and what is set aside for it.

use domain::decision::{self, Admission, Facts};
use domain::limit::{Fit, Measure, WorstCase};
use domain::refusal::Refusal;
use store::models::Model;

use crate::limits::{Limits, Reservation, Terms};
use crate::policy::Standing;
use crate::prompt::{Clamp, Prompt};
use crate::router::UsageDialect;

/// Tokens a picture or document in the body can count as, beside its bytes: the dearest known reading is that of a large
/// picture by small OpenAI models (2 833 and 5 667 for each of eight tiles), rounded up.
const TOKENS_OF_A_FILE: usize = 50_000;
/// What Anthropic's tools add to a prompt without a byte of it in the request: 735 tokens at most, rounded up.
const HIDDEN_TOKENS: usize = 1_000;

/// A request with a body, on its way upstream.
pub(super) struct Bound<'a> {
    pub(super) model: &'a Model,
    pub(super) prompt: &'a mut Prompt,
    pub(super) usage: UsageDialect,
}

/// What was decided, and set aside.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) admission: Admission,
    pub(super) reservation: Reservation,
    /// What the request can consume at most.
    pub(super) worst: WorstCase,
}

/// Makes the decision and sets aside what the request may consume at most: of every limit or of none. Where that does
/// not fit and the key says so, the output cap is lowered to what does.
pub(super) async fn reserve(
    limits: &Limits,
    standing: &Standing,
    facts: Facts<'_>,
    request: Bound<'_>,
) -> Result<Reserved, Refusal> {
    let Bound { model, prompt, usage } = request;
    let mut worst = worst_case(model, prompt, usage);
    let terms: Vec<Terms> = standing.limits().copied().collect();
    if terms.is_empty() {
        let admission = decision::decide(&facts).map_err(|denial| denial.refusal)?;
        return Ok(Reserved { admission, reservation: Reservation::default(), worst });
    }
    // Who may not use the model learns that, and not what would bound it.
    decision::screen(&facts, &decision::STEPS[..9]).map_err(|denial| denial.refusal)?;
    require_bounds(&terms, model, prompt)?;
    let price = model.price.unwrap_or_default();
    let now = facts.now;
    let attempt = async |worst: WorstCase| {
        let decide = |rooms: &[decision::LimitRoom]| decision::decide(&Facts { limits: rooms, ..facts });
        limits.reserve(&terms, |measure| worst.of(measure, price), now, decide).await
    };
    let mut reserved = attempt(worst).await;
    let may_clamp = standing.known.fit == Fit::Clamp && prompt.can_be_clamped();
    if may_clamp && matches!(reserved, Err(Refusal::LimitReached(_))) {
        let caps = terms.iter().map(|terms| worst.clamp(terms.measure, price, limits.left(terms.id, now)));
        let cap = caps.collect::<Option<Vec<u32>>>().and_then(|caps| caps.into_iter().min());
        if let Some(cap) = cap.filter(|cap| *cap < worst.output) {
            worst.output = cap;
            reserved = attempt(worst).await;
        }
    }
    let (admission, reservation) = reserved?;
    if worst.output > 0 {
        // Also where the client named no cap: what was set aside holds only if the upstream keeps to it.
        prompt.clamp(Clamp { output_cap: Some(worst.output), n: None });
    }
    Ok(Reserved { admission, reservation, worst })
}

fn worst_case(model: &Model, prompt: &Prompt, usage: UsageDialect) -> WorstCase {
    let asked = prompt.asked();
    let output = match usage {
        UsageDialect::InputOnly => 0,
        _ => asked.output_cap.unwrap_or(model.max_output),
    };
    // Sound is never more tokens than bytes.
    let files = if usage == UsageDialect::Transcripts { 0 } else { prompt.embedded().count };
    let bytes = prompt.len().saturating_add(files.saturating_mul(TOKENS_OF_A_FILE));
    let hidden = if usage == UsageDialect::Messages { HIDDEN_TOKENS } else { 0 };
    let input = WorstCase::input_bound(bytes.saturating_add(hidden), model.context_window);
    WorstCase { input, output, choices: asked.answers }
}

/// What nobody can bound is refused to whoever has a limit it could break.
fn require_bounds(terms: &[Terms], model: &Model, prompt: &Prompt) -> Result<(), Refusal> {
    if let Some(what) = prompt.unbounded() {
        let message = format!(
            "This API key has a limit, so it must be known beforehand what a request can cost at most. This one draws \
             on {what}, which nobody can bound."
        );
        return Err(Refusal::InvalidRequest { message, param: None });
    }
    let has_cost_limit = terms.iter().any(|terms| terms.measure == Measure::Cost);
    if has_cost_limit && model.price.is_none() {
        let message = "This API key has a cost limit, and this model has no price yet.".to_owned();
        return Err(Refusal::InvalidRequest { message, param: Some("model".to_owned()) });
    }
    Ok(())
}
