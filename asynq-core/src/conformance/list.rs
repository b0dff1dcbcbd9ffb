//! The list of all behaviours, written once, and the macros that make a test of each.

/// Makes a test of each behaviour. See [`conformance`](crate::conformance).
#[macro_export]
macro_rules! broker_conformance {
    ($make:path $(, #[$attribute:meta])* $(,)?) => {
        $crate::__broker_tests! {
            $make, [$(#[$attribute])*],
            enqueue {
                a_broker_that_is_there_answers_a_ping,
                a_task_for_now_is_pending,
                a_task_with_a_delay_is_scheduled,
                a_task_for_a_moment_to_come_is_scheduled,
                a_task_for_a_moment_in_the_past_is_pending,
                a_task_of_a_group_waits_in_it,
                a_task_of_a_group_for_the_past_waits_in_it,
                a_task_of_a_group_with_a_delay_is_scheduled,
                enqueueing_makes_the_queue,
                an_empty_batch_has_no_receipts,
                a_taken_id_is_refused_in_whatever_state_its_task_is,
                an_id_is_free_again_when_its_task_is_done,
                the_same_id_in_two_queues_is_two_tasks,
                a_batch_is_answered_in_order_whatever_becomes_of_each_task,
                the_second_of_the_same_id_in_a_batch_is_refused,
                ids_and_queue_names_may_hold_any_characters,
                an_empty_payload_stays_empty,
                a_large_payload_comes_back_whole,
                a_batch_of_thousands_is_stored_in_order,
                of_many_enqueueing_the_same_id_at_once_one_wins,
            }
            unique {
                a_second_task_of_the_same_type_and_payload_is_a_duplicate,
                the_second_of_two_unique_tasks_in_a_batch_is_a_duplicate,
                another_type_payload_or_queue_is_no_duplicate,
                type_and_payload_are_not_mixed_up,
                a_task_that_does_not_ask_to_be_unique_is_no_duplicate,
                tasks_without_payload_are_duplicates_of_each_other,
                a_taken_id_is_told_before_a_duplicate,
                a_unique_lock_is_not_taken_when_the_id_is_taken,
                a_lock_is_named_in_the_stored_task,
                scheduled_and_grouped_tasks_hold_their_lock,
                the_lock_of_a_task_for_the_past_begins_now,
                an_active_task_holds_its_lock,
                done_releases_the_lock,
                done_and_kept_releases_the_lock,
                drop_releases_the_lock,
                a_retry_keeps_the_lock,
                a_snooze_keeps_the_lock,
                an_archived_task_keeps_its_lock,
                a_requeued_task_keeps_its_lock,
                the_lock_is_released_by_the_attempt_that_succeeds,
                a_refused_finish_releases_no_lock,
                of_many_enqueueing_the_same_unique_task_at_once_one_wins,
            }
            dequeue {
                tasks_come_in_the_order_they_were_enqueued,
                no_more_are_taken_than_asked_for,
                asking_for_none_takes_none,
                without_queues_nothing_is_taken,
                an_unknown_queue_gives_nothing,
                the_queue_named_first_is_served_first,
                queues_that_are_not_named_are_left_alone,
                a_paused_queue_gives_no_tasks,
                a_resumed_queue_gives_its_tasks_again,
                tasks_of_a_paused_queue_can_be_finished,
                scheduled_grouped_and_kept_tasks_are_not_taken,
                a_task_is_taken_once,
                a_lease_has_a_nonce_a_beginning_and_an_end,
                every_field_of_a_task_comes_back_unchanged,
                a_task_without_options_comes_back_without_them,
                a_delayed_task_comes_back_unchanged,
                concurrent_dequeues_never_give_a_task_twice,
            }
            finish {
                finishing_nothing_has_no_answers,
                a_done_task_is_deleted,
                done_counts_as_processed,
                a_done_task_with_a_retention_is_completed,
                a_completed_task_keeps_its_message,
                a_dropped_task_is_deleted_despite_its_retention,
                a_failed_task_waits_for_its_retry,
                a_retry_that_is_no_failure_is_not_counted,
                retry_keeps_the_payload,
                fields_of_newer_peers_are_kept_over_a_retry,
                failures_add_up,
                a_snoozed_task_is_scheduled,
                an_archived_task_is_kept_with_its_error,
                a_requeued_task_runs_next,
                a_requeued_task_tells_since_when_it_is_pending,
                a_long_error_text_is_cut,
                an_error_text_may_hold_any_characters,
                a_task_is_finished_once,
                a_batch_of_finishes_is_answered_in_order,
                a_batch_finishes_tasks_of_several_queues,
                hundreds_of_tasks_are_finished_in_one_call,
                an_earlier_holder_is_refused_also_in_the_same_call_as_the_present_one,
                a_finish_in_a_queue_that_is_not_there_is_refused,
                counters_of_today_start_anew_at_midnight_utc,
            }
            lease {
                a_foreign_nonce_finishes_nothing,
                a_holder_without_nonce_does_not_finish_the_task_of_one_with,
                a_late_holder_finishes_while_nobody_has_taken_the_task,
                a_task_taken_by_another_is_not_finished_by_the_first_holder,
                a_recovered_task_that_waits_is_not_finished_by_its_holder,
                an_extension_moves_the_end_of_the_lease,
                a_lease_is_held_until_somebody_takes_the_task,
                an_extended_lease_still_finishes,
                the_lease_of_a_finished_task_is_lost,
                the_lease_of_a_task_taken_by_another_is_lost,
                extensions_are_answered_in_order,
                extending_nothing_has_no_answers,
                the_leases_of_the_same_id_in_two_queues_are_two,
                a_cancelled_task_is_told_at_its_next_extension,
                a_cancelled_task_of_another_queue_is_left_alone,
                the_next_attempt_of_a_cancelled_task_is_not_cancelled,
                cancelling_a_task_that_does_not_run_changes_nothing,
                of_many_finishing_the_same_lease_at_once_one_settles_it,
            }
            result {
                a_result_shows_while_the_task_runs,
                the_last_result_counts,
                the_result_of_done_replaces_a_written_one,
                a_written_result_survives_a_retry,
                a_result_may_hold_any_bytes,
                a_result_after_the_end_leaves_nothing_behind,
                a_holder_that_lost_its_task_writes_no_result,
                a_result_for_an_unknown_queue_is_refused,
            }
            forward {
                a_scheduled_task_is_pending_when_it_is_due_and_not_before,
                a_task_due_within_the_same_second_is_not_early,
                a_retry_is_pending_when_it_is_due_and_not_before,
                a_snoozed_task_is_pending_when_it_is_due_and_not_before,
                a_retry_without_delay_is_due_at_once,
                forwarding_tells_when_the_next_task_is_due,
                a_retry_may_be_the_next_task_due,
                an_empty_queue_has_nothing_due,
                tasks_due_earlier_run_earlier,
                forwarded_tasks_come_after_those_that_wait,
                a_forwarded_task_is_pending_since_then,
                thousands_of_due_tasks_are_forwarded_piece_by_piece,
                a_scheduled_task_of_a_group_joins_it_when_it_is_due,
                a_paused_queue_is_forwarded,
                another_queue_is_not_forwarded,
            }
            recover {
                a_lease_is_expired_after_its_end_and_not_before,
                looking_for_expired_leases_changes_nothing,
                no_more_expired_leases_are_told_than_asked_for,
                the_end_of_the_next_lease_is_told,
                expired_leases_of_another_queue_are_not_told,
                a_task_is_not_started_until_its_lease_is_extended,
                the_next_attempt_counts_as_not_started_again,
                losses_before_the_start_are_counted,
                a_start_ends_the_row_of_losses,
                a_settled_attempt_ends_the_row_of_losses,
                an_expired_task_is_settled_by_who_finds_it,
                a_recovered_task_runs_next,
                a_valid_lease_is_not_claimed_as_expired,
                a_lease_extended_meanwhile_is_not_claimed_as_expired,
                an_expired_task_is_claimed_once,
                a_task_without_retries_left_is_archived_by_who_finds_it,
                an_orphaned_task_shows_as_such,
                a_sound_queue_has_nothing_to_mend,
            }
            purge {
                a_completed_task_is_kept_for_its_retention,
                each_completed_task_has_its_own_retention,
                the_id_of_a_purged_task_is_free,
                an_archived_task_is_kept_for_ninety_days,
                purging_an_archived_task_releases_its_lock,
                waiting_and_running_tasks_are_never_purged,
                a_call_purges_no_more_than_it_may,
                of_more_than_ten_thousand_archived_tasks_the_oldest_are_purged,
                an_unknown_queue_has_nothing_to_purge,
            }
            aggregate {
                groups_with_waiting_tasks_are_listed,
                a_group_is_ready_when_no_task_has_come_for_the_grace_period,
                each_task_begins_the_grace_period_anew,
                a_group_is_ready_when_its_oldest_task_has_waited_for_the_longest_delay,
                a_group_is_ready_at_its_size,
                a_set_never_holds_more_than_the_size_and_takes_the_oldest,
                what_does_not_fit_into_a_set_stays_in_the_group,
                sealed_tasks_are_aggregating_but_not_in_the_group,
                an_unknown_group_is_never_ready,
                sealed_tasks_come_with_everything_they_were_sent_with,
                a_task_that_comes_after_the_sealing_waits_for_the_next_set,
                finishing_a_set_replaces_its_tasks_by_the_merged_one,
                finishing_a_set_counts_nothing,
                the_merged_task_may_be_scheduled,
                finishing_a_set_leaves_the_rest_of_the_group,
                finishing_a_set_releases_the_locks_of_its_tasks,
                a_set_is_finished_once,
                a_merged_task_whose_id_is_taken_leaves_the_set,
                a_merged_task_that_is_a_duplicate_leaves_the_set,
                a_merged_task_for_another_queue_is_an_error,
                a_set_past_its_deadline_goes_back_to_its_group,
                reclaimed_tasks_are_older_than_those_that_came_meanwhile,
                a_reclaimed_task_takes_its_old_place,
                a_set_that_went_back_cannot_be_finished,
                a_late_set_is_finished_while_it_has_not_gone_back,
                the_same_group_in_two_queues_is_two_groups,
            }
            presence {
                without_servers_none_is_shown,
                a_server_is_shown_with_its_workers,
                what_was_announced_last_is_shown,
                a_server_without_workers_is_shown,
                a_withdrawn_server_is_not_shown,
                withdrawing_a_server_that_is_not_shown_is_no_error,
                a_server_that_is_not_announced_again_is_not_shown_for_long,
                an_announced_server_stays_as_long_as_it_is_announced,
            }
            inspect {
                an_empty_broker_has_no_queues,
                a_queue_stays_when_its_tasks_are_done,
                the_tasks_of_each_state_are_counted,
                pending_tasks_are_listed_in_the_order_they_are_run,
                active_tasks_are_listed_oldest_first,
                scheduled_tasks_and_retries_are_listed_by_their_time,
                archived_tasks_are_listed_oldest_first,
                completed_tasks_are_listed_by_their_end,
                aggregating_tasks_are_listed_by_group,
                a_page_is_a_part_of_the_list,
                a_task_tells_when_it_runs_next,
                a_queue_tells_since_when_its_next_task_is_pending,
                pausing_is_told_once,
                a_queue_can_be_paused_before_it_has_tasks,
                a_paused_queue_accepts_tasks,
                looking_changes_nothing,
            }
            watch {
                a_watch_is_armed_and_wakes_once_it_has_begun,
                a_watch_that_is_dropped_is_not_armed,
                a_new_pending_task_wakes,
                every_new_pending_task_wakes,
                a_new_scheduled_task_wakes_the_forwarder,
                a_retry_wakes_the_forwarder,
                a_snooze_wakes_the_forwarder,
                a_forwarded_task_wakes,
                a_requeued_task_wakes,
                a_merged_task_wakes,
                several_watches_are_all_told,
                a_watch_is_told_of_a_cancelled_task,
                a_watch_is_told_of_an_id_cancelled_in_every_queue,
            }
            schedule {
                an_entry_that_is_not_known_is_noted_as_of_now,
                the_task_of_a_tick_is_enqueued,
                a_tick_is_enqueued_once,
                a_tick_is_enqueued_once_even_when_its_task_is_done,
                a_tick_that_was_left_behind_is_not_enqueued,
                an_archived_run_does_not_block_the_next_tick,
                a_kept_run_does_not_block_the_next_tick,
                a_tick_whose_task_is_refused_is_taken_all_the_same,
                a_tick_for_later_is_scheduled,
                entries_and_queues_have_ticks_of_their_own,
                the_task_of_a_tick_must_be_of_its_queue,
                of_many_enqueueing_the_same_tick_at_once_one_wins,
                without_schedulers_no_entries_are_shown,
                entries_are_shown_in_the_order_they_were_registered,
                the_entries_published_last_are_shown,
                withdrawn_entries_are_not_shown,
                entries_that_are_not_published_again_are_not_shown_for_long,
                an_entry_that_never_fires_is_shown_without_times,
                events_are_shown_latest_first,
                no_more_than_a_thousand_events_are_kept,
                each_entry_has_events_of_its_own,
            }
            random {
                random_operations_lose_no_task,
            }
        }
    };
}

/// Makes a test of each behaviour of uniqueness locks in time, for brokers whose locks expire by the manual clock. Use
/// it beside [`broker_conformance`](crate::broker_conformance).
#[macro_export]
macro_rules! broker_conformance_moved_lock_time {
    ($make:path $(, #[$attribute:meta])* $(,)?) => {
        $crate::__broker_tests! {
            $make, [$(#[$attribute])*],
            lock_time {
                a_lock_holds_until_its_ttl_and_not_longer,
                the_ttl_of_a_delayed_task_counts_from_when_it_is_due,
                a_task_whose_lock_expired_does_not_release_that_of_its_successor,
                the_lock_of_an_archived_task_expires,
            }
        }
    };
}

/// Makes a test of each behaviour of an inspector of a broker. Use it beside
/// [`broker_conformance`](crate::broker_conformance), with a function that makes an
/// [`InspectorSubject`](crate::conformance::InspectorSubject).
#[macro_export]
macro_rules! inspector_conformance {
    ($make:path $(, #[$attribute:meta])* $(,)?) => {
        $crate::__broker_tests! {
            $make, [$(#[$attribute])*],
            act {
                a_task_that_waits_can_be_run,
                a_task_that_was_run_is_pending_since_then,
                running_a_task_wakes_servers,
                an_exhausted_task_that_is_run_keeps_its_errors,
                a_pending_or_active_task_is_not_run_again,
                a_task_can_be_archived,
                archiving_counts_no_attempt,
                archiving_ends_the_row_of_losses,
                an_active_or_archived_task_is_not_archived,
                a_task_can_be_deleted,
                an_active_task_is_not_deleted,
                deleting_releases_the_lock,
                an_id_is_free_again_when_its_task_was_deleted,
                a_task_in_a_sealed_set_is_left_alone,
                a_task_of_a_group_that_was_run_by_itself_waits_by_itself,
                only_an_active_task_is_cancelled,
                a_missing_task_or_queue_is_named,
                a_selection_is_answered_in_order,
            }
            bulk {
                all_scheduled_tasks_are_run_in_their_order,
                all_tasks_of_each_list_can_be_deleted,
                deleting_all_releases_the_locks,
                all_tasks_of_a_group_are_run,
                all_pending_tasks_are_archived,
                archiving_more_than_an_archive_holds_keeps_the_latest,
                a_bulk_reports_its_progress,
                a_bulk_that_is_dropped_stops_and_can_be_resumed,
                a_bulk_acts_on_tasks_that_pass_its_filter_only,
                a_bulk_ends_although_tasks_keep_coming,
                all_active_tasks_are_cancelled,
                what_can_be_done_to_no_task_of_a_list_is_refused,
                a_bulk_on_a_missing_queue_is_refused,
                a_bulk_on_an_empty_list_does_nothing,
            }
            search {
                every_list_is_gone_through_in_its_order,
                a_list_is_read_by_page_number,
                a_search_goes_on_at_a_kept_cursor,
                a_cursor_that_makes_no_sense_is_refused,
                no_task_that_stays_is_missed_when_others_are_taken_out,
                no_task_that_stays_is_missed_when_those_on_a_page_are_deleted,
                tasks_are_found_by_type_id_payload_error_and_header,
                tasks_are_found_by_age,
                a_page_has_no_more_tasks_than_asked_for,
                a_search_in_a_missing_queue_is_refused,
                searching_changes_nothing,
            }
            change {
                the_payload_of_a_waiting_task_can_be_changed,
                an_active_or_completed_task_is_not_changed,
                a_task_in_a_sealed_set_is_not_changed,
                fields_of_newer_versions_survive_a_change,
                the_time_of_a_waiting_task_can_be_changed,
                a_task_whose_time_is_now_is_forwarded,
                a_task_that_gets_a_time_ends_its_row_of_losses,
                a_pending_task_stays_in_its_place_when_its_time_has_come,
                a_grouped_task_keeps_its_place_when_its_time_has_come,
                a_task_moves_to_another_queue_in_its_state,
                a_completed_task_stays_in_its_queue,
                a_task_does_not_move_to_a_queue_that_has_its_id,
                a_lock_moves_with_its_task,
                a_change_that_makes_a_duplicate_is_refused,
                several_things_are_changed_at_once,
                changing_a_missing_task_names_what_is_missing,
            }
            delete_queue {
                a_queue_without_tasks_is_deleted,
                a_queue_with_tasks_in_whatever_state_is_not_deleted,
                a_queue_with_a_sealed_set_is_not_deleted,
                a_forced_deletion_deletes_all_tasks,
                a_forced_deletion_releases_all_locks,
                the_last_ticks_of_a_queue_are_deleted_with_it,
                a_queue_with_active_tasks_is_not_deleted_by_force,
                a_missing_queue_is_not_deleted,
                a_deletion_that_was_stopped_can_be_taken_up_again,
            }
            statistics {
                the_history_is_by_day_today_first,
                a_history_is_no_longer_than_it_is_kept,
                groups_are_shown_with_their_sizes,
                a_queue_with_larger_tasks_takes_more_memory,
                the_statistics_of_a_missing_queue_are_refused,
                the_latency_is_that_of_the_task_that_runs_next,
            }
            operate_random {
                random_inspections_lose_no_task,
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __broker_tests {
    ($make:path, $attributes:tt, $($file:ident { $($behaviour:ident,)* })*) => {
        $(
            mod $file {
                // Where `$make` may come from.
                #[allow(unused_imports)]
                use super::*;

                $($crate::__broker_test!($make, $attributes, $file, $behaviour);)*
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __broker_test {
    ($make:path, [$(#[$attribute:meta])*], $file:ident, $behaviour:ident) => {
        $(#[$attribute])*
        #[tokio::test]
        async fn $behaviour() {
            let subject = $make().await;
            $crate::conformance::$file::$behaviour(&subject).await;
            subject.assert_invariants().await;
        }
    };
}

#[cfg(test)]
mod tests {
    /// The sources, since a function that no list names is no test and nobody would notice.
    const FILES: &[&str] = &[
        include_str!("enqueue.rs"),
        include_str!("unique.rs"),
        include_str!("dequeue.rs"),
        include_str!("finish.rs"),
        include_str!("lease.rs"),
        include_str!("result.rs"),
        include_str!("forward.rs"),
        include_str!("recover.rs"),
        include_str!("purge.rs"),
        include_str!("aggregate.rs"),
        include_str!("presence.rs"),
        include_str!("inspect.rs"),
        include_str!("watch.rs"),
        include_str!("random.rs"),
        include_str!("lock_time.rs"),
        include_str!("schedule.rs"),
        include_str!("act.rs"),
        include_str!("bulk.rs"),
        include_str!("search.rs"),
        include_str!("change.rs"),
        include_str!("delete_queue.rs"),
        include_str!("statistics.rs"),
        include_str!("operate_random.rs"),
    ];

    #[test]
    fn every_behaviour_is_in_the_list() {
        let list = include_str!("list.rs");
        let behaviours = FILES.iter().flat_map(|file| file.lines()).filter_map(|line| {
            let (name, subject) = line.strip_prefix("pub async fn ")?.split_once("(subject: &")?;
            // `replay` is given steps too.
            subject.ends_with("Subject) {").then_some(name)
        });

        for name in behaviours {
            assert!(list.contains(&format!(" {name},\n")), "{name} is not in the list");
        }
    }
}
