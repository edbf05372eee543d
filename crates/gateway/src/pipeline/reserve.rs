//! Step 11: a request's worst case, and what is set aside for it.

use domain::decision::{self, Admission, Facts};
use domain::limit::{Fit, Measure, WorstCase};
use domain::refusal::Refusal;
use domain::tariff::Tariff;
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
/// not fit and the key says so, the output cap or the number of pictures is lowered to what does.
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
    require_bounds(&terms, model, prompt, usage)?;
    let tariff = model.tariff();
    let now = facts.now;
    let attempt = async |worst: WorstCase| {
        let decide = |rooms: &[decision::LimitRoom]| decision::decide(&Facts { limits: rooms, ..facts });
        limits.reserve(&terms, |measure| worst.of(measure, tariff), now, decide).await
    };
    let mut reserved = attempt(worst).await;
    if standing.known.fit == Fit::Clamp && matches!(reserved, Err(Refusal::LimitReached(_))) {
        let lefts = terms.iter().map(|terms| (terms.measure, limits.left(terms.id, now)));
        if let Some(less) = lowered(worst, tariff, prompt.can_be_clamped(), lefts) {
            worst = less;
            reserved = attempt(worst).await;
        }
    }
    let (admission, reservation) = reserved?;
    // Also where the client named no cap: what was set aside holds only if the upstream keeps to it.
    let output_cap = Some(worst.output).filter(|cap| *cap > 0);
    prompt.clamp(Clamp { output_cap, n: Some(worst.choices).filter(|_| worst.pictures) });
    Ok(Reserved { admission, reservation, worst })
}

/// The same for a call of the operator's own: its price is its worst case, and it has no tokens.
pub(super) async fn reserve_call(
    limits: &Limits,
    standing: &Standing,
    facts: Facts<'_>,
    price: i64,
) -> Result<Reserved, Refusal> {
    let worst = WorstCase::default();
    // Only what it takes something of: a call must not make a limit of tokens look as if it were in use.
    let takes = |terms: &&Terms| price > 0 && terms.measure == Measure::Cost;
    let terms: Vec<Terms> = standing.limits().filter(takes).copied().collect();
    let decide = |rooms: &[decision::LimitRoom]| decision::decide(&Facts { limits: rooms, ..facts });
    if terms.is_empty() {
        let admission = decide(&[]).map_err(|denial| denial.refusal)?;
        return Ok(Reserved { admission, reservation: Reservation::default(), worst });
    }
    let (admission, reservation) = limits.reserve(&terms, |_| price, facts.now, decide).await?;
    Ok(Reserved { admission, reservation, worst })
}

/// The request with less output, or with fewer pictures where these have no cap, so that it fits what is left of every
/// limit; `None` where it cannot be made to.
fn lowered(
    worst: WorstCase,
    tariff: Tariff,
    has_cap: bool,
    lefts: impl Iterator<Item = (Measure, i64)>,
) -> Option<WorstCase> {
    if has_cap {
        let caps = lefts.map(|(measure, left)| worst.clamp(measure, tariff, left));
        let output = caps.collect::<Option<Vec<u32>>>()?.into_iter().min()?;
        return (output < worst.output).then_some(WorstCase { output, ..worst });
    }
    if !worst.pictures {
        return None;
    }
    let counts = lefts.map(|(measure, left)| worst.clamp_choices(measure, tariff, left));
    let choices = counts.collect::<Option<Vec<u32>>>()?.into_iter().min()?;
    (choices < worst.choices).then_some(WorstCase { choices, ..worst })
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
    let audio = (usage == UsageDialect::Transcripts).then(|| WorstCase::audio_bound(prompt.embedded().bytes));
    WorstCase {
        input,
        output,
        choices: asked.answers,
        pictures: usage == UsageDialect::Images,
        audio_ms: audio.filter(|_| model.price_per_second.is_some()),
    }
}

/// What nobody can bound is refused to whoever has a limit it could break.
fn require_bounds(
    terms: &[Terms],
    model: &Model,
    prompt: &Prompt,
    usage: UsageDialect,
) -> Result<(), Refusal> {
    if let Some(what) = prompt.unbounded() {
        let message = format!(
            "This API key has a limit, so it must be known beforehand what a request can cost at most. This one draws \
             on {what}, which nobody can bound."
        );
        return Err(Refusal::InvalidRequest { message, param: None });
    }
    if terms.iter().all(|terms| terms.measure != Measure::Cost) {
        return Ok(());
    }
    let refuse = |message: &str| {
        Err(Refusal::InvalidRequest { message: message.to_owned(), param: Some("model".to_owned()) })
    };
    let per_unit = match usage {
        UsageDialect::Images => model.price_per_image,
        UsageDialect::Transcripts | UsageDialect::Speech => model.price_per_second,
        _ => None,
    };
    if model.price.is_none() && per_unit.is_none() {
        return refuse("This API key has a cost limit, and this model has no price yet.");
    }
    // How long a text takes to be spoken is for the model to say.
    if usage == UsageDialect::Speech && per_unit.is_some_and(|price| price > 0) {
        return refuse(
            "This API key has a cost limit, and this model charges by the second of speech, which nobody can bound \
             beforehand.",
        );
    }
    Ok(())
}
