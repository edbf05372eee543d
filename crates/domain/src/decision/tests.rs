//! Properties of the decision: the order is the published one, and every rule binds.

use std::time::Duration;

use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// One request in which any combination of steps is made to fail.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says which of two faults makes a step fail")]
struct Case {
    fails: [bool; 11],
    status: KeyStatus,
    balance: bool,
    archived: bool,
    group_model: bool,
    reserved_only: bool,
}

impl Case {
    fn key(&self) -> KeyPolicy {
        KeyPolicy {
            status: if self.fails(Step::Status) { self.status } else { KeyStatus::Enabled },
            expires_at: Some(if self.fails(Step::Expiry) { NOW } else { NOW + Duration::from_secs(1) }),
            addresses: AddressRule::only([net(if self.fails(Step::Address) {
                "10.0.0.0/8"
            } else {
                "0.0.0.0/0"
            })]),
            permissions: Allow::Only(vec![Permission::new(if self.fails(Step::Permission) {
                "other:read"
            } else {
                "chat:read"
            })]),
            models: if self.fails(Step::Model) && !self.group_model {
                Allow::Only(vec!["gpt-4o".to_owned()])
            } else {
                Allow::Any
            },
        }
    }

    fn group(&self) -> GroupPolicy {
        GroupPolicy {
            archived: self.fails(Step::Account) && self.archived,
            permissions: Allow::Any,
            models: if self.fails(Step::Model) && self.group_model {
                Allow::Only(Vec::new())
            } else {
                Allow::Any
            },
        }
    }

    fn account(&self) -> AccountPolicy {
        let billing = match (self.fails(Step::Account) && !self.archived, self.balance) {
            (false, _) => Billing::Active,
            (true, true) => Billing::BalanceUsedUp,
            (true, false) => Billing::Inactive,
        };
        AccountPolicy { suspended: false, billing }
    }

    fn room(&self) -> LimitRoom {
        let free = if self.fails(Step::Reservation) { 9 } else { 10 };
        let reserved = i64::from(self.reserved_only);
        LimitRoom { kind: LimitKind::Cost, limit: 100, free, reserved, needed: 10, resets_in: None }
    }

    fn fails(&self, step: Step) -> bool {
        let index = STEPS.iter().position(|other| *other == step).unwrap();
        self.fails[index]
    }

    fn decide(&self) -> Result<Admission, Denial> {
        self.with_facts(decide)
    }

    fn with_facts<T>(&self, run: impl FnOnce(&Facts<'_>) -> T) -> T {
        let key = self.key();
        let group = self.group();
        let limits = [self.room()];
        run(&Facts {
            transport: if self.fails(Step::Transport) {
                Transport::PlainRefused
            } else {
                Transport::Accepted
            },
            credential: match (self.fails(Step::Credential), self.fails(Step::Known)) {
                (true, _) => Credential::NotASecret,
                (false, true) => Credential::Unknown,
                (false, false) => Credential::Known(&key, SecretState::Current),
            },
            account: self.account(),
            group: &group,
            client: "203.0.113.9".parse().unwrap(),
            now: NOW,
            demand: Demand { permission: "chat:read", model: Model::Offered("gpt-4o-mini") },
            rate: Some(RateRoom {
                limit: 60,
                admitted: if self.fails(Step::Rate) { 60 } else { 59 },
                next_slot_in: Duration::from_secs(3),
            }),
            limits: &limits,
        })
    }
}

fn net(text: &str) -> ipnet::IpNet {
    text.parse().unwrap()
}

prop_compose! {
    fn cases()(fails in any::<[bool; 11]>(), status in 0..3, balance: bool, archived: bool, group_model: bool,
               reserved_only: bool) -> Case {
        let status = [KeyStatus::Disabled, KeyStatus::Revoked, KeyStatus::Deleted][usize::try_from(status).unwrap()];
        Case { fails, status, balance, archived, group_model, reserved_only }
    }
}

proptest! {
    #[test]
    fn the_first_failing_step_decides(case in cases()) {
        let first = STEPS.iter().copied().find(|step| case.fails(*step));
        prop_assert_eq!(case.decide().err().map(|denial| denial.step), first);
    }

    #[test]
    fn mending_a_later_step_never_changes_the_answer(case in cases(), later in 0_usize..11) {
        if let Err(denial) = case.decide() {
            let at = STEPS.iter().position(|step| *step == denial.step).unwrap();
            prop_assume!(later > at);
            let mut mended = case.clone();
            mended.fails[later] = !mended.fails[later];
            prop_assert_eq!(mended.decide(), Err(denial));
        }
    }

    #[test]
    fn a_key_that_is_not_enabled_never_passes(mut case in cases()) {
        case.fails[3] = true;
        prop_assert!(case.decide().is_err());
    }

    #[test]
    fn every_key_fault_is_a_401_and_no_other_step_is(case in cases()) {
        if let Err(Denial { step, refusal }) = case.decide() {
            let about_the_key = matches!(step, Step::Credential | Step::Known | Step::Status | Step::Expiry);
            prop_assert_eq!(refusal.status() == 401, about_the_key);
        }
    }

    #[test]
    fn the_explanation_agrees_with_the_decision(case in cases()) {
        let denial = case.decide().err();
        let first = case.with_facts(explain).into_iter()
            .find_map(|(step, outcome)| outcome?.err().map(|refusal| Denial { step, refusal }));
        prop_assert_eq!(first, denial);
    }

    #[test]
    fn an_admission_takes_exactly_what_was_asked(mut case in cases()) {
        case.fails = [false; 11];
        let admission = case.decide().unwrap();
        prop_assert!(admission.takes_rate_slot);
        prop_assert_eq!(admission.reserves, vec![(LimitKind::Cost, 10)]);
    }
}

fn passing() -> Case {
    Case {
        fails: [false; 11],
        status: KeyStatus::Disabled,
        balance: false,
        archived: false,
        group_model: false,
        reserved_only: false,
    }
}

fn refusal_of(change: impl FnOnce(&mut Case)) -> Refusal {
    let mut case = passing();
    change(&mut case);
    case.decide().unwrap_err().refusal
}

#[test]
fn a_disabled_key_says_so_and_a_revoked_one_does_not() {
    let with = |status| refusal_of(|case| (case.fails[3], case.status) = (true, status));
    assert_eq!(with(KeyStatus::Disabled), Refusal::KeyDisabled);
    assert_eq!(with(KeyStatus::Revoked), Refusal::InvalidApiKey);
    assert_eq!(with(KeyStatus::Deleted), Refusal::InvalidApiKey);
}

#[test]
fn billing_and_balance_are_told_apart() {
    assert_eq!(refusal_of(|case| case.fails[6] = true), Refusal::BillingInactive);
    assert_eq!(refusal_of(|case| (case.fails[6], case.balance) = (true, true)), Refusal::InsufficientBalance);
    assert_eq!(refusal_of(|case| (case.fails[6], case.archived) = (true, true)), Refusal::GroupArchived);
}

#[test]
fn the_group_is_a_ceiling() {
    let refusal = refusal_of(|case| (case.fails[8], case.group_model) = (true, true));
    assert_eq!(refusal, Refusal::ModelNotAllowed { model: "gpt-4o-mini".to_owned() });
}

#[test]
fn room_that_is_only_reserved_is_worth_a_second_try() {
    let reserved = |yes| match refusal_of(|case| (case.fails[10], case.reserved_only) = (true, yes)) {
        Refusal::LimitReached(reached) => reached.reserved,
        other => panic!("{other:?}"),
    };
    assert!(reserved(true) && !reserved(false));
}

#[test]
fn something_free_passes_a_spent_limit() {
    let room =
        LimitRoom { kind: LimitKind::Cost, limit: 5, free: -2, reserved: 0, needed: 0, resets_in: None };
    assert_eq!(fits(room), Ok(()));
}

#[test]
fn a_retiring_secret_ends_at_its_instant_as_if_unknown() {
    let key = passing().key();
    let outcome = |end| {
        passing().with_facts(|facts| {
            decide(&Facts { credential: Credential::Known(&key, SecretState::Retiring(end)), ..*facts }).err()
        })
    };
    assert_eq!(outcome(NOW + Duration::from_nanos(1)), None);
    assert_eq!(outcome(NOW).unwrap().refusal, Refusal::InvalidApiKey);
}

proptest! {
    #[test]
    fn a_question_about_the_key_itself_minds_five_steps_and_takes_nothing(case in cases()) {
        let first = STEPS_ABOUT_ITSELF.into_iter().find(|step| case.fails(*step));
        let decided = case.with_facts(decide_about_itself);
        match decided {
            Ok(admission) => {
                prop_assert_eq!(first, None);
                prop_assert_eq!((admission.takes_rate_slot, admission.reserves), (false, vec![]));
            }
            Err(denial) => prop_assert_eq!(Some(denial.step), first),
        }
    }
}

#[test]
fn a_retired_secret_may_not_even_ask_about_its_key() {
    let key = passing().key();
    let outcome = |end| {
        passing().with_facts(|facts| {
            let credential = Credential::Known(&key, SecretState::Retiring(end));
            decide_about_itself(&Facts { credential, ..*facts }).err()
        })
    };
    assert_eq!(outcome(NOW + Duration::from_nanos(1)), None);
    assert_eq!(outcome(NOW).unwrap().refusal, Refusal::InvalidApiKey);
}
