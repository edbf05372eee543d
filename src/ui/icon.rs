//! Icons: Lucide's, cut into one sprite by `style/icons.mjs`. They cost no WASM.

use leptos::prelude::*;

/// The icons of the sprite. Each stands beside words or in a control with a name of its own, so all
/// are hidden from screen readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IconName {
    ArrowLeft,
    Ban,
    Check,
    ChevronRight,
    CircleAlert,
    CircleCheck,
    CirclePause,
    Copy,
    Info,
    KeyRound,
    CircleUser,
    LogOut,
    Mail,
    Monitor,
    Moon,
    Plus,
    SearchX,
    Sun,
    TriangleAlert,
    Wrench,
    X,
}

impl IconName {
    /// The address of the icon's symbol.
    #[must_use]
    pub const fn href(self) -> &'static str {
        match self {
            Self::ArrowLeft => "/icons.svg#arrow-left",
            Self::Ban => "/icons.svg#ban",
            Self::Check => "/icons.svg#check",
            Self::ChevronRight => "/icons.svg#chevron-right",
            Self::CircleAlert => "/icons.svg#circle-alert",
            Self::CircleCheck => "/icons.svg#circle-check",
            Self::CirclePause => "/icons.svg#circle-pause",
            Self::Copy => "/icons.svg#copy",
            Self::Info => "/icons.svg#info",
            Self::KeyRound => "/icons.svg#key-round",
            Self::CircleUser => "/icons.svg#circle-user",
            Self::LogOut => "/icons.svg#log-out",
            Self::Mail => "/icons.svg#mail",
            Self::Monitor => "/icons.svg#monitor",
            Self::Moon => "/icons.svg#moon",
            Self::Plus => "/icons.svg#plus",
            Self::SearchX => "/icons.svg#search-x",
            Self::Sun => "/icons.svg#sun",
            Self::TriangleAlert => "/icons.svg#triangle-alert",
            Self::Wrench => "/icons.svg#wrench",
            Self::X => "/icons.svg#x",
        }
    }
}

/// One icon, 16 px unless its surroundings say otherwise, in the colour of the text beside it.
#[component]
pub fn Icon(
    /// Which one.
    name: IconName,
) -> impl IntoView {
    view! {
        <svg class="icon" aria-hidden="true" width="16" height="16">
            <use href=name.href()></use>
        </svg>
    }
}

#[cfg(test)]
mod tests {
    use super::IconName;

    const ALL: [IconName; 21] = [
        IconName::ArrowLeft,
        IconName::Ban,
        IconName::Check,
        IconName::ChevronRight,
        IconName::CircleAlert,
        IconName::CircleCheck,
        IconName::CirclePause,
        IconName::Copy,
        IconName::Info,
        IconName::KeyRound,
        IconName::CircleUser,
        IconName::LogOut,
        IconName::Mail,
        IconName::Monitor,
        IconName::Moon,
        IconName::Plus,
        IconName::SearchX,
        IconName::Sun,
        IconName::TriangleAlert,
        IconName::Wrench,
        IconName::X,
    ];

    #[test]
    fn every_icon_is_in_the_sprite_and_the_sprite_holds_no_other() {
        let sprite = include_str!("../../public/icons.svg");
        for icon in ALL {
            let id = icon.href().rsplit('#').next().unwrap();
            assert!(
                sprite.contains(&format!("<symbol id=\"{id}\"")),
                "{id} is missing: node style/icons.mjs"
            );
        }
        assert_eq!(sprite.matches("<symbol ").count(), ALL.len(), "the sprite holds icons nobody names");
    }
}
