//! Faults and hostile peers, as tables: what is wrong, and what becomes of the run.
//!
//! Each row runs the built program. In every row, neither a canary nor the token appears in what
//! the program prints or posts, no redirect is followed, the run ends within its budget, and the
//! endpoint gets the report at most once.
//!
//! `ROW=text cargo test --test faults` runs only the rows that have the text in their name or in
//! the name of their test, and prints each of them with its outcome.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod api;
mod configuration;
mod endpoint;
mod proxy;
mod row;
mod run;
mod scene;

use std::collections::BTreeSet;

use row::Row;

/// A test for each table, and the list of all tables.
macro_rules! tables {
    ($($test:ident: $rows:path,)*) => {
        $(
            #[test]
            fn $test() {
                run::all(stringify!($test), $rows());
            }
        )*

        const TABLES: &[(&str, fn() -> Vec<Row>)] = &[$((stringify!($test), $rows)),*];
    };
}

tables! {
    the_endpoint_fails: endpoint::rows,
    the_proxy_fails: proxy::rows,
    the_way_to_the_api_server_fails: api::way,
    the_api_server_refuses: api::refusals,
    the_api_server_answers_strangely: answers::rows,
    the_configuration_is_wrong: configuration::rows,
}

fn names() -> Vec<String> {
    let named = |(test, rows): &(&str, fn() -> Vec<Row>)| {
        let names = rows().into_iter().map(|row| run::full_name(test, &row));
        names.collect::<Vec<_>>()
    };
    TABLES.iter().flat_map(named).collect()
}

#[test]
fn every_row_has_a_name_of_its_own() {
    let names = names();
    let mut known = BTreeSet::new();
    for name in &names {
        assert!(known.insert(name), "two rows are named {name:?}");
    }
    // Loops make most rows, and one that has nothing to loop over would not fail.
    assert!(names.len() > 400, "only {} rows", names.len());
}

/// A test passes where `ROW` selects none of its rows, so that others can run theirs; here it has
/// to select one.
#[test]
fn the_selection_is_not_empty() {
    let selected = names().iter().any(|name| run::is_selected(name));
    let text = run::selection().unwrap_or_default();
    assert!(selected, "no row has {text:?} in its name");
}
