//! The behaviour of a store, whichever it is: each function takes a fresh one and asserts.
//! `store_suite!` makes a test of each.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests; they stand here so that stores share them"
)]

pub mod batch;
pub mod event;
pub mod journal;
pub mod lesser;
pub mod page;
pub mod person;
pub mod retention;
pub mod run;
pub mod timer;

/// Makes a test of each behaviour. `$with` is called as `$with(|store: &dyn Store| …)`: it opens a
/// fresh store, lends it, and takes it away.
#[macro_export]
macro_rules! store_suite {
    ($with:path) => {
        $crate::store_suite! { @ $with;
            batch::a_command_that_is_refused_changes_nothing_and_spares_its_neighbours
            batch::later_commands_see_what_earlier_ones_changed
            batch::the_check_that_failed_is_named
            batch::another_owner_is_fenced_off
            batch::a_contradiction_undoes_the_whole_batch
            batch::an_empty_batch_is_fine
            run::a_run_reads_back_as_it_was_written
            run::a_status_is_rewritten_whole
            run::values_keep_their_form
            run::a_start_key_finds_its_run
            run::what_the_scheduler_sees
            run::running_runs_are_found
            run::runs_that_keep_their_slot_are_found
            run::children_are_counted_and_the_living_found
            run::filters_take_what_they_name
            run::labels_may_hold_anything
            run::a_list_is_newest_first
            run::namespaces_are_apart
            journal::records_read_back_as_they_were_written
            journal::a_page_ends_when_its_bytes_are_passed
            journal::a_journal_ends_with_its_last_record
            journal::a_replay_leaves_out_what_only_people_want
            journal::marks_leave_payloads_out
            journal::a_key_finds_all_its_records
            journal::a_place_is_taken_once
            timer::timers_come_in_their_order
            timer::a_timer_is_moved_and_removed
            timer::a_timer_that_is_never_due_comes_last
            timer::waiters_are_found_by_topic
            event::a_topic_is_read_from_a_place_or_a_time
            event::a_key_is_published_once
            event::a_topic_remembers_its_head
            event::a_signal_is_consumed_once
            person::an_approval_is_answered_once
            person::approvals_are_listed_by_state_and_run
            person::sessions_are_listed_latest_first
            person::the_audit_log_is_newest_first
            person::api_keys_are_revoked_once
            lesser::queues_keep_their_configuration
            lesser::queues_are_counted
            lesser::a_blob_lives_as_long_as_a_run_refers_to_it
            lesser::what_a_journal_or_an_input_refers_to_is_kept
            lesser::a_blob_is_held_by_the_values_that_refer_to_it
            lesser::live_output_is_resumed_by_place
            lesser::a_build_is_first_seen_once
            page::pages_neither_skip_nor_repeat
            page::a_foreign_cursor_is_refused
            retention::a_deleted_run_takes_its_own_along
            retention::a_start_key_outlives_its_run
            retention::trees_are_deleted_whole
            retention::a_detached_run_is_a_root
        }
    };
    (@ $with:path; $($module:ident :: $name:ident)*) => {
        $(#[test]
        fn $name() {
            $with($crate::store::suite::$module::$name);
        })*
    };
}
