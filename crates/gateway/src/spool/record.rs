//! What the spool remembers of a request: enough for its ledger row, and nothing of what was said.
//!
//! The format is postcard's, whose wire format is specified and stable: field by field in the order below, without
//! names. So a field is never added, moved or changed here; a changed payload gets a new [`VERSION`] and the structs of
//! the old one stay, as long as a spool of theirs may still be about. Version 2 has behind each struct of version 1 what
//! is charged beside tokens; version 3 has behind all of that the price of a call.

use std::net::IpAddr;

use domain::limit::Measure;
use domain::money::{NanoUsd, Price};
use domain::tariff::Tariff;
use domain::usage::{LastKnown, TokenUsage, Units};
use domain::{AccountId, GroupId, KeyId, LimitId, RequestId, UserId};
use serde::{Deserialize, Serialize};
use store::usage::{Charge, UsageRecord};
use time::OffsetDateTime;

use super::frame::{Frame, Kind, TooLarge, frame};

/// The payloads' format that is written.
pub const VERSION: u8 = 3;
/// Those before, which are still read.
const WITHOUT_CALLS: u8 = 2;
const TOKENS_ONLY: u8 = 1;
/// A client whose gateway died got no status; this is what the ledger calls it.
const GATEWAY_DIED: u16 = 500;

/// A request as it was admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened<'a> {
    /// The request: a UUIDv7, and the ledger row's key.
    pub request: RequestId,
    /// Whose.
    pub account: AccountId,
    /// By which key.
    pub key: KeyId,
    /// Under which secret.
    pub public_id: &'a str,
    /// The key's group.
    pub group: GroupId,
    /// The key's environment.
    pub environment: Option<&'a str>,
    /// Who made the key.
    pub creator: UserId,
    /// As the client named it; empty where the route has none.
    pub model: &'a str,
    /// Nano-dollars per million input, cached input and output tokens.
    pub price: (i64, i64, i64),
    /// The path template.
    pub route: &'a str,
    /// From where.
    pub client: IpAddr,
    /// When, by the database's clock: nanoseconds since 1970.
    pub started_at: i64,
    /// Input tokens by the gateway's own count.
    pub estimated_input: u32,
    /// What was taken from which leases; empty for a request without limits.
    pub reserved: Vec<Reserved>,
    /// What it is charged by beside tokens.
    #[serde(skip)]
    pub beside: Beside,
    /// Nano-dollars for the call, on a route of the operator's own.
    #[serde(skip)]
    pub call: Option<i64>,
}

/// What a request is charged by beside tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Nano-dollars for a picture.
    pub image: Option<i64>,
    /// Nano-dollars for a second of sound.
    pub second: Option<i64>,
    /// The sound in the request, in milliseconds by the gateway's own count.
    pub audio_ms: Option<u32>,
}

/// Pictures, and milliseconds of sound.
type Counts = (Option<u32>, Option<u32>);

/// What was set aside for a request under one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The limit.
    pub limit: LimitId,
    /// What it counts.
    pub measure: Counted,
    /// The window it was taken in: its beginning, nanoseconds since 1970.
    pub starts_at: i64,
    /// The epoch of the lease it was taken from.
    pub epoch: i64,
    /// How much: nano-dollars or tokens.
    pub amount: i64,
}

/// What a limit counts. The order is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counted {
    /// Nano-dollars.
    Cost,
    /// Tokens.
    Tokens,
}

impl From<Measure> for Counted {
    fn from(measure: Measure) -> Self {
        match measure {
            Measure::Cost => Self::Cost,
            Measure::Tokens => Self::Tokens,
        }
    }
}

impl Reserved {
    /// What to book under this limit for what was consumed.
    fn charge(&self, cost: i64, usage: TokenUsage) -> Charge {
        let tokens = i64::try_from(usage.total()).unwrap_or(i64::MAX);
        Charge {
            limit: self.limit,
            starts_at: moment(self.starts_at),
            epoch: self.epoch,
            amount: match self.measure {
                Counted::Cost => cost,
                Counted::Tokens => tokens,
            },
        }
    }
}

fn moment(nanos: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(nanos.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The HTTP status the client got.
    pub status: u16,
    /// Answered as a stream.
    pub streamed: bool,
    /// Input, cached input and output tokens.
    pub usage: (u32, u32, u32),
    /// Nano-dollars.
    pub cost: i64,
    /// The gateway's own counts.
    pub estimated: bool,
    /// Before its time.
    pub interrupted: bool,
    /// Until the first byte of the answer, in microseconds.
    pub first_byte_us: Option<i64>,
    /// Until the last, in microseconds.
    pub duration_us: i64,
    /// Pictures, and milliseconds of sound.
    #[serde(skip)]
    pub units: Counts,
}

/// A record of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A request that was about to be forwarded.
    Open(Opened<'a>),
    /// A request that is over. It repeats what was in the opening, so that it needs no other record to be booked.
    Settle(Opened<'a>, Ended),
}

/// A whole frame cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is of another version of this program.
    #[error("format {version}, kind {kind:?} is of another version of this program")]
    Foreign {
        /// Its format.
        version: u8,
        /// Its kind.
        kind: Kind,
    },
    /// It says it is of this version, and is not.
    #[error("the record is malformed: {0}")]
    Malformed(#[from] postcard::Error),
}

/// Why a record cannot be framed.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It has more than 64 KiB.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// It cannot be serialised.
    #[error(transparent)]
    Postcard(#[from] postcard::Error),
}

impl Record<'_> {
    /// Reads a frame; `None` for one that holds nothing.
    pub fn read<'a>(frame: &Frame<'a>) -> Result<Option<Record<'a>>, Unreadable> {
        let Frame { version, kind, payload, .. } = *frame;
        match (version, kind) {
            (_, Kind::Probe) => Ok(None),
            (VERSION, Kind::Open) => {
                let (opened, beside, call): (Opened<'a>, Beside, Option<i64>) =
                    postcard::from_bytes(payload)?;
                Ok(Some(Record::Open(Opened { beside, call, ..opened })))
            }
            (VERSION, Kind::Settle) => {
                let (opened, beside, ended, units, call): (Opened<'a>, Beside, Ended, Counts, Option<i64>) =
                    postcard::from_bytes(payload)?;
                Ok(Some(Record::Settle(Opened { beside, call, ..opened }, Ended { units, ..ended })))
            }
            (WITHOUT_CALLS, Kind::Open) => {
                let (opened, beside): (Opened<'a>, Beside) = postcard::from_bytes(payload)?;
                Ok(Some(Record::Open(Opened { beside, ..opened })))
            }
            (WITHOUT_CALLS, Kind::Settle) => {
                let (opened, beside, ended, units): (Opened<'a>, Beside, Ended, Counts) =
                    postcard::from_bytes(payload)?;
                Ok(Some(Record::Settle(Opened { beside, ..opened }, Ended { units, ..ended })))
            }
            (TOKENS_ONLY, Kind::Open) => Ok(Some(Record::Open(postcard::from_bytes(payload)?))),
            (TOKENS_ONLY, Kind::Settle) => {
                let (opened, ended) = postcard::from_bytes(payload)?;
                Ok(Some(Record::Settle(opened, ended)))
            }
            _ => Err(Unreadable::Foreign { version, kind }),
        }
    }
}

impl Opened<'_> {
    /// The frame of this opening.
    pub fn frame(&self) -> Result<Vec<u8>, EncodeError> {
        encode(Kind::Open, &(self, self.beside, self.call))
    }

    /// The frame that says how it ended.
    pub fn settled_frame(&self, ended: &Ended) -> Result<Vec<u8>, EncodeError> {
        encode(Kind::Settle, &(self, self.beside, ended, ended.units, self.call))
    }

    /// The ledger row of this request, ended so.
    pub fn record(&self, ended: &Ended) -> UsageRecord {
        UsageRecord {
            id: self.request,
            account_id: self.account,
            key_id: self.key,
            public_id: self.public_id.to_owned(),
            group_id: self.group,
            environment: self.environment.map(str::to_owned),
            created_by: self.creator,
            model: self.model.to_owned(),
            route: self.route.to_owned(),
            status: ended.status,
            streamed: ended.streamed,
            usage: usage_of(ended.usage),
            units: units_of(ended.units),
            cost: NanoUsd(ended.cost),
            price: self.price(),
            price_per_image: self.beside.image,
            price_per_second: self.beside.second,
            price_per_call: self.call,
            estimated: ended.estimated,
            interrupted: ended.interrupted,
            client: self.client,
            started_at: moment(self.started_at),
            first_byte_us: ended.first_byte_us,
            duration_us: ended.duration_us,
            charges: self
                .reserved
                .iter()
                .map(|part| part.charge(ended.cost, usage_of(ended.usage)))
                .collect(),
        }
    }

    /// The ledger row of a request whose gateway died before it ended.
    pub fn interrupted(&self) -> UsageRecord {
        let (usage, cost) = self.last_known().charge(self.tariff()).unwrap_or_else(|error| {
            tracing::error!(request_id = %self.request, %error, "a price makes no sense; nothing is charged");
            (TokenUsage::default(), NanoUsd::ZERO)
        });
        // Nobody knows whether the upstream has taken it.
        let cost = self.call.map_or(cost, NanoUsd);
        self.record(&Ended {
            status: GATEWAY_DIED,
            streamed: false,
            usage: (usage.input, usage.cached_input, usage.output),
            cost: cost.0,
            estimated: true,
            interrupted: true,
            first_byte_us: None,
            duration_us: 0,
            units: (None, self.beside.audio_ms),
        })
    }

    fn last_known(&self) -> LastKnown {
        // Several limits of one kind set aside the same worst case each.
        let most = |wanted: Counted| {
            self.reserved.iter().filter(|part| part.measure == wanted).map(|part| part.amount).max()
        };
        LastKnown {
            seen: None,
            estimated_input: self.estimated_input,
            estimated_audio_ms: self.beside.audio_ms,
            reserved_cost: most(Counted::Cost).map(NanoUsd),
            reserved_tokens: most(Counted::Tokens).and_then(|tokens| tokens.try_into().ok()),
        }
    }

    fn price(&self) -> Price {
        let (input, cached_input, output) = self.price;
        Price { input, cached_input, output }
    }

    fn tariff(&self) -> Tariff {
        Tariff { tokens: Some(self.price()), image: self.beside.image, second: self.beside.second }
    }
}

fn units_of((images, audio_ms): Counts) -> Units {
    Units { images, audio_ms }
}

fn usage_of((input, cached_input, output): (u32, u32, u32)) -> TokenUsage {
    TokenUsage { input, cached_input, output }
}

fn encode(kind: Kind, record: &impl Serialize) -> Result<Vec<u8>, EncodeError> {
    frame(kind, VERSION, |bytes| Ok(postcard::to_extend(record, bytes)?))
}

#[cfg(test)]
pub(super) mod tests {
    use uuid::Uuid;

    use super::super::frame::{Frames, Item};
    use super::*;

    pub(in crate::spool) fn opened(request: u128) -> Opened<'static> {
        Opened {
            request: RequestId(Uuid::from_u128(request)),
            account: AccountId(Uuid::from_u128(1)),
            key: KeyId(Uuid::from_u128(2)),
            public_id: "abcdefghijkl",
            group: GroupId(Uuid::from_u128(3)),
            environment: Some("production"),
            creator: UserId(Uuid::from_u128(4)),
            model: "gpt-4o-mini",
            price: (150_000_000, 75_000_000, 600_000_000),
            route: "/v1/chat/completions",
            client: "2001:db8::7".parse().unwrap(),
            started_at: 1_790_000_000_000_000_001,
            estimated_input: 40,
            reserved: Vec::new(),
            beside: Beside::default(),
            call: None,
        }
    }

    pub(in crate::spool) fn ended() -> Ended {
        Ended {
            status: 200,
            streamed: true,
            usage: (9, 3, 12),
            cost: 1_234,
            estimated: false,
            interrupted: false,
            first_byte_us: Some(70_000),
            duration_us: 90_000,
            units: (None, None),
        }
    }

    fn only(bytes: &[u8]) -> Frame<'_> {
        match Frames::new(bytes).next() {
            Some(Item::Frame(frame)) => frame,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let lease = Reserved {
            limit: LimitId(Uuid::from_u128(8)),
            measure: Counted::Tokens,
            starts_at: 1_790_000_000_000_000_000,
            epoch: 2,
            amount: -5,
        };
        let beside = Beside { image: Some(40_000_000), second: None, audio_ms: Some(61_500) };
        let call = Some(2_000_000);
        let opened = Opened { environment: None, reserved: vec![lease], beside, call, ..opened(7) };
        let bytes = opened.frame().unwrap();
        assert_eq!(Record::read(&only(&bytes)).unwrap(), Some(Record::Open(opened.clone())));
        let ended = Ended { units: (Some(3), Some(7)), ..ended() };
        let bytes = opened.settled_frame(&ended).unwrap();
        assert_eq!(Record::read(&only(&bytes)).unwrap(), Some(Record::Settle(opened, ended)));
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    }

    /// Spools outlive programs: these bytes were written once and must be read for as long as the version stands.
    #[test]
    fn the_format_of_version_3_stays_as_it_is() {
        let beside = Beside { image: Some(40_000_000), second: Some(100_000), audio_ms: Some(61_500) };
        let ended = Ended { units: (Some(2), Some(300)), ..ended() };
        let bytes = Opened { beside, call: Some(2_000_000), ..opened(7) }.settled_frame(&ended).unwrap();
        assert_eq!(hex(only(&bytes).payload), include_str!("record/settle-v3.hex").trim());
    }

    fn framed(kind: Kind, version: u8, payload: &[u8]) -> Vec<u8> {
        let write = |bytes: Vec<u8>| Ok::<_, TooLarge>([bytes.as_slice(), payload].concat());
        frame(kind, version, write).unwrap()
    }

    #[test]
    fn what_version_2_has_written_is_read() {
        let beside = Beside { image: Some(40_000_000), second: Some(100_000), audio_ms: Some(61_500) };
        let units = (Some(2), Some(300));
        let old = postcard::to_allocvec(&(opened(7), beside, ended(), units)).unwrap();
        assert_eq!(hex(&old), include_str!("record/settle-v2.hex").trim());
        let opened = Opened { beside, ..opened(7) };
        let bytes = framed(Kind::Settle, WITHOUT_CALLS, &old);
        let settled = Record::Settle(opened.clone(), Ended { units, ..ended() });
        assert_eq!(Record::read(&only(&bytes)).unwrap(), Some(settled));
        let bytes = framed(Kind::Open, WITHOUT_CALLS, &postcard::to_allocvec(&(&opened, beside)).unwrap());
        assert_eq!(Record::read(&only(&bytes)).unwrap(), Some(Record::Open(opened)));
    }

    #[test]
    fn what_version_1_has_written_is_read() {
        let old = postcard::to_allocvec(&(opened(7), ended())).unwrap();
        assert_eq!(hex(&old), include_str!("record/settle-v1.hex").trim());
        let bytes = framed(Kind::Settle, TOKENS_ONLY, &old);
        assert_eq!(Record::read(&only(&bytes)).unwrap(), Some(Record::Settle(opened(7), ended())));
        let bytes = framed(Kind::Open, TOKENS_ONLY, &postcard::to_allocvec(&opened(7)).unwrap());
        assert_eq!(Record::read(&only(&bytes)).unwrap(), Some(Record::Open(opened(7))));
    }

    #[test]
    fn a_row_is_made_of_both() {
        let row = opened(7).record(&ended());
        assert_eq!((row.id.0.as_u128(), row.status, row.streamed), (7, 200, true));
        assert_eq!((row.usage.input, row.usage.cached_input, row.usage.output), (9, 3, 12));
        assert_eq!((row.cost, row.price.output), (NanoUsd(1_234), 600_000_000));
        assert_eq!(row.started_at.unix_timestamp_nanos(), 1_790_000_000_000_000_001);
        assert_eq!((row.first_byte_us, row.duration_us), (Some(70_000), 90_000));
        assert_eq!((row.environment.as_deref(), row.model.as_str()), (Some("production"), "gpt-4o-mini"));
    }

    #[test]
    fn a_request_nobody_saw_end_costs_what_the_rule_says() {
        let row = opened(7).interrupted();
        assert_eq!((row.usage.input, row.usage.output, row.cost), (40, 0, NanoUsd(6_000)));
        assert!(row.estimated && row.interrupted);
        let part = |measure, amount| Reserved {
            limit: LimitId(Uuid::nil()),
            measure,
            starts_at: 0,
            epoch: 0,
            amount,
        };
        let row =
            Opened { call: Some(5_000), price: (0, 0, 0), estimated_input: 0, ..opened(7) }.interrupted();
        assert_eq!(
            (row.cost, row.price_per_call),
            (NanoUsd(5_000), Some(5_000)),
            "the call may have been made"
        );
        let reserved =
            vec![part(Counted::Cost, 70_000), part(Counted::Tokens, 100), part(Counted::Cost, 80_000)];
        let row = Opened { reserved, ..opened(7) }.interrupted();
        assert_eq!((row.usage.input, row.usage.output, row.cost), (40, 60, NanoUsd(80_000)));
    }

    #[test]
    fn frames_of_other_versions_are_named_and_not_guessed() {
        let bytes = frame(Kind::Open, 4, Ok::<_, TooLarge>).unwrap();
        assert!(matches!(
            Record::read(&only(&bytes)),
            Err(Unreadable::Foreign { version: 4, kind: Kind::Open })
        ));
        let bytes = frame(Kind::Other(77), VERSION, Ok::<_, TooLarge>).unwrap();
        assert!(matches!(
            Record::read(&only(&bytes)),
            Err(Unreadable::Foreign { kind: Kind::Other(77), .. })
        ));
        let bytes = frame(Kind::Open, VERSION, Ok::<_, TooLarge>).unwrap();
        assert!(matches!(Record::read(&only(&bytes)), Err(Unreadable::Malformed(_))));
        let bytes = frame(Kind::Probe, 9, Ok::<_, TooLarge>).unwrap();
        assert_eq!(Record::read(&only(&bytes)).unwrap(), None);
    }
}
