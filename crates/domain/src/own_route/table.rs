//! Finds the route of a request among the operator's own ones.

use std::collections::HashMap;

use super::{MAX_SEGMENTS, Method, Template};

/// The operator's own routes, each with what it leads to.
#[derive(Clone, Debug)]
pub struct Table<T>(HashMap<Box<str>, Vec<Row<T>>>);

#[derive(Clone, Debug)]
struct Row<T> {
    method: Method,
    template: Template,
    item: T,
}

/// What a method and path lead to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found<'t, 'p, T> {
    /// A route, and what the request has in the place of its values.
    Route(&'t T, Vec<&'p str>),
    /// The path is there for other methods.
    OtherMethod(Vec<Method>),
    /// No such path.
    Nothing,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Table<T> {
    /// A table of these routes. Of two with one method and shape, the first counts.
    pub fn new(rows: impl IntoIterator<Item = (Method, Template, T)>) -> Self {
        let mut by_word: HashMap<Box<str>, Vec<Row<T>>> = HashMap::new();
        for (method, template, item) in rows {
            let same_word = by_word.entry(template.first_word().into()).or_default();
            same_word.push(Row { method, template, item });
        }
        for rows in by_word.values_mut() {
            rows.sort_by_key(|row| row.template.rank());
        }
        Self(by_word)
    }

    /// The route of a raw path without its base, such as `/characters/7`.
    ///
    /// Of the templates that match, the one that has a word where the others have a value decides, from the left; then
    /// the method does. So one template alone guards a path, whatever the method.
    pub fn find<'p>(&self, method: &str, below: &'p str) -> Found<'_, 'p, T> {
        let Some(rest) = below.strip_prefix('/') else { return Found::Nothing };
        let segments: Vec<&str> = rest.split('/').take(MAX_SEGMENTS + 1).collect();
        let rows = segments.first().and_then(|word| self.0.get(*word)).map_or(&[][..], Vec::as_slice);
        let Some(best) = rows.iter().find(|row| row.template.values(&segments).is_some()) else {
            return Found::Nothing;
        };
        let of_shape = || rows.iter().filter(|row| row.template.has_shape_of(&best.template));
        let found = of_shape().find(|row| row.method.as_str() == method);
        if let Some((row, values)) = found.and_then(|row| Some((row, row.template.values(&segments)?))) {
            return Found::Route(&row.item, values);
        }
        let mut methods: Vec<Method> = of_shape().map(|row| row.method).collect();
        methods.sort_unstable();
        methods.dedup();
        Found::OtherMethod(methods)
    }

    /// What all of them lead to, in no order.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.0.values().flatten().map(|row| &row.item)
    }
}
