//! Reads a passing stream, or a whole answer, for what it costs: the usage report where there is one, else a count of
//! what was emitted.

use domain::tariff::Tariff;
use domain::usage::{TokenUsage, Units};

use super::frame;
use super::scout::Scout;
use crate::metering::estimate::{self, Sent};
use crate::metering::reported::{Figures, NotJson, Report, event_kind, images, text_bytes};
use crate::router::UsageDialect;

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Pass it on.
    Forward,
    /// Keep it: it answers a question the client did not ask.
    Remove,
    /// Pass it on, and nothing that matters follows.
    Last,
}

/// What was consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumed {
    /// The figures.
    pub usage: TokenUsage,
    /// Pictures and sound.
    pub units: Units,
    /// Some of them are the gateway's own count.
    pub estimated: bool,
}

/// What has been read of one answer so far.
#[derive(Debug)]
pub struct Meter {
    dialect: UsageDialect,
    figures: Figures,
    /// Something was emitted after the last report, so that is not the last word.
    emitted_since: bool,
    /// Pieces of output: events with text, or pictures.
    pieces: u32,
    /// Bytes of output: of text, or of sound.
    bytes: u64,
    /// The client did not ask for a usage event; the gateway did.
    usage_is_injected: bool,
    /// A frame that is too large to be held.
    large: Option<Scout>,
    /// A picture is counted that nobody has seen finished.
    is_cut_short: bool,
}

impl Meter {
    /// A meter for an answer whose usage event was, or was not, asked for by the gateway alone.
    pub fn new(dialect: UsageDialect, usage_is_injected: bool) -> Self {
        Self {
            dialect,
            figures: Figures::default(),
            emitted_since: false,
            pieces: 0,
            bytes: 0,
            usage_is_injected,
            large: None,
            is_cut_short: false,
        }
    }

    /// Reads a whole answer.
    pub fn read_whole(&mut self, json: &[u8]) -> Result<(), NotJson> {
        let report = Report::read_whole(json, self.dialect)?;
        let told = report.and_then(|report| report.figures?.output).is_some_and(|output| output > 0);
        match self.dialect {
            UsageDialect::Images => self.pieces = images(json),
            // What was generated counts where the upstream does not say, or says that it was nothing.
            _ if told => {}
            UsageDialect::Choices => self.bytes = text_bytes(json, b"\"choices\""),
            UsageDialect::Responses => self.bytes = text_bytes(json, b"\"output\""),
            UsageDialect::Messages => self.bytes = text_bytes(json, b"\"content\""),
            UsageDialect::Transcripts => self.bytes = text_bytes(json, b"\"text\""),
            UsageDialect::InputOnly | UsageDialect::Speech | UsageDialect::Uncounted => {}
        }
        if let Some(report) = report {
            self.take(report.figures);
        }
        Ok(())
    }

    /// Reads one whole frame of a stream.
    pub fn read(&mut self, bytes: &[u8]) -> Fate {
        if self.dialect == UsageDialect::Uncounted {
            return Fate::Forward;
        }
        let Some(data) = frame::data(bytes) else { return Fate::Forward };
        if data.as_ref() == b"[DONE]" {
            return Fate::Last;
        }
        let kind = if self.dialect == UsageDialect::Choices { b"" } else { kind_of(bytes, &data) };
        let mentions = contains(&data, b"\"usage\"");
        let report = if mentions { Report::read(&data, self.dialect) } else { None };
        let is_alone = report.is_some_and(|report| report.is_alone) && self.dialect == UsageDialect::Choices;
        if !is_alone {
            self.count_event(kind, &data);
        }
        if let Some(report) = report {
            self.take(report.figures);
        }
        if is_alone {
            return if self.usage_is_injected { Fate::Remove } else { Fate::Forward };
        }
        if is_last(kind) { Fate::Last } else { Fate::Forward }
    }

    /// Reads some of a frame too large to be held.
    pub fn read_large(&mut self, bytes: &[u8], is_end: bool) -> Fate {
        if self.dialect == UsageDialect::Uncounted {
            return Fate::Forward;
        }
        let mut scout = self.large.take().unwrap_or_default();
        scout.see(bytes);
        let kind = kind_of(scout.head(), scout.head()).to_vec();
        if self.emits(&kind) {
            // Nothing in it can be told from the text, so all of it counts.
            self.count_bytes(bytes);
        }
        if !is_end {
            self.large = Some(scout);
            return Fate::Forward;
        }
        if self.is_picture(&kind) {
            self.count_piece();
        }
        if let Some(report) = scout.report() {
            self.take(Figures::read(report, self.dialect));
        }
        if is_last(&kind) { Fate::Last } else { Fate::Forward }
    }

    /// Counts bytes of an answer that is no JSON and no event: sound, or a transcript's text.
    pub fn count_bytes(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.emitted_since |= !bytes.is_empty();
    }

    /// The answer ends before its time, and not by its upstream's fault: a picture that was being made is made.
    pub fn cut_short(&mut self) {
        if self.dialect == UsageDialect::Images && self.pieces == 0 {
            self.pieces = 1;
            self.is_cut_short = true;
        }
    }

    /// What was consumed of a model with this `tariff`, where the request itself brought `sent` by the gateway's own
    /// count and sound has this `media_type`. A report that something was emitted after, or that denies what was, is
    /// not believed.
    pub fn consumed(&self, sent: Sent, tariff: Tariff, media_type: &str) -> Consumed {
        if self.dialect == UsageDialect::Uncounted {
            let (usage, units) = (TokenUsage::default(), Units::default());
            return Consumed { usage, units, estimated: false };
        }
        let (audio_ms, is_guessed) = self.audio(sent, tariff, media_type);
        let is_guessed = is_guessed || self.is_cut_short;
        let units = Units { images: (self.dialect == UsageDialect::Images).then_some(self.pieces), audio_ms };
        if self.is_paid_without_tokens(tariff) {
            return Consumed { usage: TokenUsage::default(), units, estimated: is_guessed };
        }
        let counted = self.counted(media_type);
        let (output, is_counted) = match self.figures.output {
            Some(0) if counted > 0 => (counted, true),
            Some(reported) if !self.emitted_since => (reported, false),
            Some(reported) => (reported.max(counted), counted > reported),
            None => (counted, true),
        };
        let (input, cached_input) = self.figures.input.unwrap_or((sent.tokens, 0));
        let estimated = is_counted || is_guessed || self.figures.input.is_none();
        Consumed { usage: TokenUsage { input, cached_input, output }, units, estimated }
    }

    /// The sound to charge, and whether that is a guess.
    fn audio(&self, sent: Sent, tariff: Tariff, media_type: &str) -> (Option<u32>, bool) {
        let is_paid = tariff.second.is_some();
        match (self.dialect, self.figures.audio_ms) {
            (UsageDialect::Transcripts, Some(heard)) if heard > 0 || sent.audio_ms.is_none() => {
                (Some(heard), false)
            }
            (UsageDialect::Transcripts, _) if is_paid => (sent.audio_ms, true),
            (UsageDialect::Speech, _) if is_paid => (Some(estimate::sound_ms(self.bytes, media_type)), true),
            _ => (None, false),
        }
    }

    /// Whether there are no tokens here to guess: the upstream reports none, and is paid by something else.
    fn is_paid_without_tokens(&self, tariff: Tariff) -> bool {
        let Figures { input, output, audio_ms } = self.figures;
        let is_paid = match self.dialect {
            UsageDialect::Images => tariff.image.is_some(),
            UsageDialect::Speech | UsageDialect::Transcripts => tariff.second.is_some(),
            _ => false,
        };
        is_paid && input.is_none() && output.is_none() && (tariff.tokens.is_none() || audio_ms.is_some())
    }

    fn counted(&self, media_type: &str) -> u32 {
        match self.dialect {
            UsageDialect::InputOnly => 0,
            UsageDialect::Images => estimate::images(self.pieces),
            UsageDialect::Speech => estimate::sound(self.bytes, media_type),
            _ => estimate::output(self.pieces, self.bytes),
        }
    }

    fn take(&mut self, figures: Option<Figures>) {
        // After nonsense nothing an upstream has said before is worth more.
        self.figures = figures.map_or_else(Figures::default, |figures| figures.or(self.figures));
        self.emitted_since = false;
    }

    fn count_event(&mut self, kind: &[u8], data: &[u8]) {
        if self.is_picture(kind) {
            return self.count_piece();
        }
        if !self.emits(kind) {
            return;
        }
        let text = match self.dialect {
            UsageDialect::Choices => text_bytes(data, b"\"choices\""),
            // Base64 has four characters for three bytes.
            UsageDialect::Speech => text_bytes(data, b"\"audio\"") / 4 * 3,
            _ => text_bytes(data, b"\"delta\""),
        };
        self.bytes = self.bytes.saturating_add(text);
        self.pieces = self.pieces.saturating_add(1);
        self.emitted_since |= text > 0;
    }

    fn count_piece(&mut self) {
        self.pieces = self.pieces.saturating_add(1);
    }

    /// Whether events of this kind carry output.
    fn emits(&self, kind: &[u8]) -> bool {
        match self.dialect {
            UsageDialect::Choices => true,
            UsageDialect::Messages => kind == b"content_block_delta",
            UsageDialect::InputOnly | UsageDialect::Images | UsageDialect::Uncounted => false,
            UsageDialect::Responses | UsageDialect::Speech | UsageDialect::Transcripts => {
                kind.ends_with(b".delta")
            }
        }
    }

    fn is_picture(&self, kind: &[u8]) -> bool {
        self.dialect == UsageDialect::Images && kind.ends_with(b".completed")
    }
}

/// What kind of event a frame is: by its name, else by what its data says.
fn kind_of<'a>(frame: &'a [u8], data: &'a [u8]) -> &'a [u8] {
    frame::name(frame).unwrap_or_else(|| event_kind(data))
}

/// Events after which clients stop reading.
fn is_last(kind: &[u8]) -> bool {
    const LAST: [&[u8]; 6] = [
        b"response.completed",
        b"response.incomplete",
        b"response.failed",
        b"message_stop",
        b"transcript.text.done",
        b"speech.audio.done",
    ];
    LAST.contains(&kind)
}

fn contains(data: &[u8], word: &[u8]) -> bool {
    data.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests;
