//! The one integration binary: what the whole program, or a layer of it, does against real engines.

#![cfg(feature = "server")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

// What fuzz targets import is here: see `fuzz_targets`.
#[cfg(feature = "client")]
extern crate self as libfuzzer_sys;

#[cfg(feature = "client")]
mod agent;
mod alerts;
#[cfg(feature = "client")]
mod amendments;
#[cfg(feature = "client")]
mod annual;
#[cfg(feature = "client")]
mod api_page;
#[cfg(feature = "client")]
mod api_smoke;
mod architecture;
#[cfg(feature = "client")]
mod authz_matrix;
#[cfg(feature = "client")]
mod backup;
#[cfg(feature = "client")]
mod backup_places;
#[cfg(feature = "client")]
mod bare_files;
mod blob_engines;
mod blobs;
#[cfg(feature = "client")]
mod call_files;
#[cfg(feature = "client")]
mod call_roles;
#[cfg(feature = "client")]
mod cases;
#[cfg(feature = "client")]
mod chase;
mod clocks;
#[cfg(feature = "client")]
mod closing;
mod connections;
#[cfg(feature = "client")]
mod consent;
#[cfg(feature = "client")]
mod console;
#[cfg(feature = "client")]
mod crash;
mod csv_answers;
#[cfg(feature = "client")]
mod daily;
#[cfg(feature = "client")]
mod damage;
#[cfg(feature = "client")]
#[cfg(feature = "client")]
mod deciding;
mod declines;
mod demo;
#[cfg(feature = "client")]
mod described;
#[cfg(feature = "client")]
mod dossier;
#[cfg(feature = "client")]
mod dry_runs;
#[cfg(feature = "client")]
mod extensions;
#[cfg(feature = "client")]
mod feed;
#[cfg(feature = "client")]
mod first_card;
#[cfg(feature = "client")]
mod fuzz_targets;
mod generated;
#[cfg(feature = "client")]
mod golden;
mod harness;
#[cfg(feature = "client")]
mod inbox;
#[cfg(feature = "client")]
mod interests;
mod inverses;
#[cfg(feature = "client")]
mod joining;
mod journey;
#[cfg(feature = "client")]
mod known_judging;
#[cfg(feature = "client")]
mod leftovers;
#[cfg(feature = "client")]
mod listed;
mod lists;
#[cfg(feature = "client")]
mod long_lists;
#[cfg(feature = "client")]
mod looks;
#[cfg(feature = "client")]
mod lost_answers;
#[cfg(feature = "client")]
mod marks;
#[cfg(feature = "client")]
mod observers;
#[cfg(feature = "client")]
mod odd_paths;
#[cfg(feature = "client")]
mod older_states;
#[cfg(feature = "client")]
mod one_party_letters;
mod packaging;
#[cfg(feature = "client")]
mod partner_cards;
#[cfg(feature = "client")]
mod plain_requests;
#[cfg(feature = "client")]
mod plaintext;
mod policies;
mod policy_bounds;
#[cfg(feature = "client")]
mod policy_texts;
#[cfg(feature = "client")]
mod policy_trial;
#[cfg(feature = "client")]
mod previews;
#[cfg(feature = "client")]
mod printed_commands;
#[cfg(feature = "client")]
mod process;
#[cfg(feature = "client")]
mod protected_keys;
#[cfg(feature = "client")]
mod rankings;
#[cfg(feature = "client")]
mod readiness;
#[cfg(feature = "client")]
mod references;
#[cfg(feature = "client")]
mod refusals;
#[cfg(feature = "client")]
mod registrars;
#[cfg(feature = "client")]
mod relay;
#[cfg(feature = "client")]
mod repeats;
mod resumable;
#[cfg(feature = "client")]
mod review_forms;
#[cfg(feature = "client")]
mod revocation;
mod scrubs;
#[cfg(feature = "client")]
mod second_engine;
mod shares;
#[cfg(feature = "client")]
mod shown_commands;
#[cfg(feature = "client")]
mod signers;
#[cfg(feature = "client")]
mod starting;
#[cfg(feature = "client")]
mod stock_clients;
mod store_facade;
mod store_gathered;
mod store_looks;
mod store_nouns;
#[cfg(feature = "client")]
mod strict;
#[cfg(feature = "client")]
mod submitting;
#[cfg(feature = "client")]
mod supervised;
#[cfg(feature = "client")]
mod suspension;
mod sweeps;
#[cfg(feature = "client")]
mod terminal;
#[cfg(feature = "client")]
mod time_zones;
#[cfg(feature = "client")]
mod titles;
#[cfg(feature = "client")]
mod tour;
#[cfg(feature = "client")]
mod turns;
#[cfg(feature = "client")]
mod unlock;
mod upgrades;
#[cfg(feature = "client")]
mod uploads;
#[cfg(feature = "client")]
mod verify;
#[cfg(feature = "client")]
mod visibility;
#[cfg(feature = "client")]
mod wrapped_keys;

#[cfg(feature = "client")]
pub(crate) use fuzz_targets::fuzz_target;
