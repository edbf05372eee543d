//! How much output a request asks for, and the edit that makes it less.

use std::ops::Range;

use domain::refusal::Refusal;

use super::fields::{given, invalid, read_count};
use super::reading::Reading;
use crate::body::scan::{Object, items};
use crate::body::splice::Edit;

/// No model writes as much in one answer; a larger cap is a mistake.
const MAX_OUTPUT: u32 = 10_000_000;
/// More prompts in one request than any provider takes.
const MAX_PROMPTS: usize = 2_048;

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The most tokens one answer may have; `None` where the request leaves that to the model.
    pub output_cap: Option<u32>,
    /// How many answers are generated, counting those that are not shown and those of each of several prompts.
    pub answers: u32,
}

/// What a request may ask for at most; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clamp {
    /// Tokens of one answer. Where the request has no cap, this one is set.
    pub output_cap: Option<u32>,
    /// `n`, and with it `best_of`.
    pub n: Option<u32>,
}

/// A number in the body that may be lowered.
#[derive(Clone, Debug)]
struct Number {
    name: &'static str,
    value: Option<u32>,
    place: Option<Range<usize>>,
}

/// The numbers that bound a request's output.
#[derive(Clone, Debug, Default)]
pub(super) struct Caps {
    /// The first is the one to set where none is given.
    output: Vec<Number>,
    answers: Vec<Number>,
    prompts: u32,
    /// Where a field can be inserted.
    inside: usize,
    clamp: Clamp,
}

impl Number {
    fn read(object: &Object<'_>, name: &'static str, max: u32) -> Result<Self, Refusal> {
        let value = read_count(object, name, 1, max)?;
        // A null stands where a number can be put.
        let place = object.get(name).map(|field| field.place.clone());
        Ok(Self { name, value, place })
    }

    fn lowered(&self, to: u32) -> bool {
        self.value.is_some_and(|value| value > to)
    }

    fn edit(&self, to: u32, inside: usize) -> Edit {
        match &self.place {
            Some(place) => Edit::replace(place.clone(), to.to_string()),
            // The object has a model, so something follows.
            None => Edit::insert(inside, format!("\"{}\":{to},", self.name)),
        }
    }
}

impl Caps {
    pub(super) fn read(object: &Object<'_>, reading: &Reading) -> Result<Self, Refusal> {
        let output = reading.caps.iter().map(|name| Number::read(object, name, MAX_OUTPUT));
        let mut answers = Vec::new();
        if let Some(most) = reading.most_answers {
            answers.push(Number::read(object, "n", most)?);
            if reading.best_of {
                answers.push(Number::read(object, "best_of", most)?);
            }
        }
        Ok(Self {
            output: output.collect::<Result<_, _>>()?,
            answers,
            prompts: if reading.many_prompts { count_prompts(object)? } else { 1 },
            inside: object.inside(),
            clamp: Clamp::default(),
        })
    }

    /// Where several caps are given, upstreams differ in which one they obey, so the largest counts.
    pub(super) fn asked(&self) -> Asked {
        let answers = self.answers.iter().filter_map(|number| number.value).max().unwrap_or(1);
        Asked {
            output_cap: self.output.iter().filter_map(|number| number.value).max(),
            answers: answers.saturating_mul(self.prompts.max(1)),
        }
    }

    /// Whether there is a cap that an upstream of this route obeys.
    pub(super) fn can_be_lowered(&self) -> bool {
        !self.output.is_empty()
    }

    pub(super) fn clamp(&mut self, to: Clamp) {
        self.clamp = to;
    }

    /// What changes: each number and its new value.
    fn changes(&self) -> Vec<(&Number, u32)> {
        let mut changes = Vec::new();
        if let Some(to) = self.clamp.output_cap {
            changes.extend(self.output.iter().filter(|number| number.lowered(to)).map(|number| (number, to)));
            if self.asked().output_cap.is_none() {
                changes.extend(self.output.first().map(|number| (number, to)));
            }
        }
        if let Some(to) = self.clamp.n {
            changes
                .extend(self.answers.iter().filter(|number| number.lowered(to)).map(|number| (number, to)));
        }
        changes
    }

    pub(super) fn edits(&self) -> Vec<Edit> {
        self.changes().into_iter().map(|(number, to)| number.edit(to, self.inside)).collect()
    }

    pub(super) fn told(&self) -> Option<String> {
        let told: Vec<String> =
            self.changes().into_iter().map(|(number, to)| format!("{}={to}", number.name)).collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}

/// How many prompts a completion has: one text or list of tokens, or a list of these.
fn count_prompts(object: &Object<'_>) -> Result<u32, Refusal> {
    let Some(field) = given(object, "prompt") else { return Ok(1) };
    let wrong = || {
        let message = format!(
            "The field 'prompt' must be a string or a list of at most {MAX_PROMPTS} strings or tokens."
        );
        invalid("prompt", message)
    };
    if field.value.starts_with('"') {
        return Ok(1);
    }
    let items = items(field.value).ok_or_else(wrong)?;
    let is_tokens = items.first().is_some_and(|item| item.get().starts_with(|c: char| c.is_ascii_digit()));
    if is_tokens {
        return Ok(1);
    }
    u32::try_from(items.len()).ok().filter(|_| items.len() <= MAX_PROMPTS).ok_or_else(wrong)
}
