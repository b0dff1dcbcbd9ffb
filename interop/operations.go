package main

import (
	"context"
	"time"

	"github.com/hibiken/asynq/internal/base"
	"github.com/hibiken/asynq/internal/rdb"
)

type operation func(d *database, r *Request) (any, error)

var background = context.Background()

// operations of the broker; those of the inspector and of encodings are added by init functions.
var operations = map[string]operation{
	"forget": func(d *database, r *Request) (any, error) {
		d.forget()
		return nil, nil
	},
	"enqueue": func(d *database, r *Request) (any, error) {
		return nil, d.broker.Enqueue(background, r.Message.toBase())
	},
	"enqueue_unique": func(d *database, r *Request) (any, error) {
		return nil, d.broker.EnqueueUnique(background, r.Message.toBase(), micros(r.TTL))
	},
	"schedule": func(d *database, r *Request) (any, error) {
		return nil, d.broker.Schedule(background, r.Message.toBase(), time.UnixMicro(r.At))
	},
	"schedule_unique": func(d *database, r *Request) (any, error) {
		return nil, d.broker.ScheduleUnique(background, r.Message.toBase(), time.UnixMicro(r.At), micros(r.TTL))
	},
	"add_to_group": func(d *database, r *Request) (any, error) {
		return nil, d.broker.AddToGroup(background, r.Message.toBase(), r.Group)
	},
	"add_to_group_unique": func(d *database, r *Request) (any, error) {
		return nil, d.broker.AddToGroupUnique(background, r.Message.toBase(), r.Group, micros(r.TTL))
	},
	"dequeue": dequeue,
	"done": func(d *database, r *Request) (any, error) {
		return nil, d.broker.Done(background, r.Message.toBase())
	},
	"mark_as_complete": func(d *database, r *Request) (any, error) {
		return nil, d.broker.MarkAsComplete(background, r.Message.toBase())
	},
	"requeue": func(d *database, r *Request) (any, error) {
		return nil, d.broker.Requeue(background, r.Message.toBase())
	},
	"retry": func(d *database, r *Request) (any, error) {
		return nil, d.broker.Retry(background, r.Message.toBase(), time.UnixMicro(r.At), r.Text, r.Failure)
	},
	"archive": func(d *database, r *Request) (any, error) {
		return nil, d.broker.Archive(background, r.Message.toBase(), r.Text)
	},
	"forward": func(d *database, r *Request) (any, error) {
		return nil, d.broker.ForwardIfReady(r.Queues...)
	},
	"list_lease_expired": func(d *database, r *Request) (any, error) {
		messages, err := d.broker.ListLeaseExpired(time.UnixMicro(r.At), r.Queues...)
		return fromBases(messages), err
	},
	"extend_lease": func(d *database, r *Request) (any, error) {
		expiry, err := d.broker.ExtendLease(r.Queue, r.IDs...)
		return expiry.UnixMicro(), err
	},
	"list_groups": func(d *database, r *Request) (any, error) {
		return d.broker.ListGroups(r.Queue)
	},
	"aggregation_check": func(d *database, r *Request) (any, error) {
		return d.broker.AggregationCheck(
			r.Queue, r.Group, d.clock.Now(), micros(r.Grace), micros(r.Delay), r.Size)
	},
	"read_aggregation_set": func(d *database, r *Request) (any, error) {
		messages, deadline, err := d.broker.ReadAggregationSet(r.Queue, r.Group, r.Set)
		return map[string]any{"messages": fromBases(messages), "deadline": deadline.UnixMicro()}, err
	},
	"delete_aggregation_set": func(d *database, r *Request) (any, error) {
		return nil, d.broker.DeleteAggregationSet(background, r.Queue, r.Group, r.Set)
	},
	"reclaim_stale_aggregation_sets": func(d *database, r *Request) (any, error) {
		return nil, d.broker.ReclaimStaleAggregationSets(r.Queue)
	},
	"delete_expired_completed_tasks": func(d *database, r *Request) (any, error) {
		return nil, d.broker.DeleteExpiredCompletedTasks(r.Queue, r.Size)
	},
	"write_result": func(d *database, r *Request) (any, error) {
		return d.broker.WriteResult(r.Queue, r.ID, r.Data)
	},
	"write_server_state": func(d *database, r *Request) (any, error) {
		workers := make([]*base.WorkerInfo, 0, len(r.Workers))
		for _, worker := range r.Workers {
			workers = append(workers, worker.toBase())
		}
		return nil, d.broker.WriteServerState(r.Server.toBase(), workers, micros(r.TTL))
	},
	"clear_server_state": func(d *database, r *Request) (any, error) {
		return nil, d.broker.ClearServerState(r.Server.Host, r.Server.PID, r.Server.ServerID)
	},
	"write_scheduler_entries": func(d *database, r *Request) (any, error) {
		entries := make([]*base.SchedulerEntry, 0, len(r.Entries))
		for _, entry := range r.Entries {
			entries = append(entries, entry.toBase())
		}
		return nil, d.broker.WriteSchedulerEntries(r.ID, entries, micros(r.TTL))
	},
	"clear_scheduler_entries": func(d *database, r *Request) (any, error) {
		return nil, d.broker.ClearSchedulerEntries(r.ID)
	},
	"record_scheduler_enqueue_event": func(d *database, r *Request) (any, error) {
		event := &base.SchedulerEnqueueEvent{TaskID: r.Text, EnqueuedAt: time.UnixMicro(r.At)}
		return nil, d.broker.RecordSchedulerEnqueueEvent(r.ID, event)
	},
	"clear_scheduler_history": func(d *database, r *Request) (any, error) {
		return nil, d.broker.ClearSchedulerHistory(r.ID)
	},
	"publish_cancelation": func(d *database, r *Request) (any, error) {
		return nil, d.broker.PublishCancelation(r.ID)
	},
	"pause": func(d *database, r *Request) (any, error) {
		return nil, d.broker.Pause(r.Queue)
	},
	"unpause": func(d *database, r *Request) (any, error) {
		return nil, d.broker.Unpause(r.Queue)
	},
}

func dequeue(d *database, r *Request) (any, error) {
	message, expiry, err := d.broker.Dequeue(r.Queues...)
	if err != nil {
		return nil, err
	}
	return map[string]any{"message": fromBase(message), "expiry": expiry.UnixMicro()}, nil
}

// history gives for each day when it began, in seconds, and the attempts and failures on it.
func history(d *database, r *Request) (any, error) {
	days, err := d.broker.HistoricalStats(r.Queue, r.Size)
	all := make([][3]int64, 0, len(days))
	for _, day := range days {
		began := day.Time.UTC().Truncate(24 * time.Hour).Unix()
		all = append(all, [3]int64{began, int64(day.Processed), int64(day.Failed)})
	}
	return all, err
}

func onTask(act func(b *rdb.RDB, queue, id string) error) operation {
	return func(d *database, r *Request) (any, error) { return nil, act(d.broker, r.Queue, r.ID) }
}

func onQueue(act func(b *rdb.RDB, queue string) (int64, error)) operation {
	return func(d *database, r *Request) (any, error) { return act(d.broker, r.Queue) }
}

func onGroup(act func(b *rdb.RDB, queue, group string) (int64, error)) operation {
	return func(d *database, r *Request) (any, error) { return act(d.broker, r.Queue, r.Group) }
}

func list(read func(b *rdb.RDB, queue string, page rdb.Pagination) ([]*base.TaskInfo, error)) operation {
	return func(d *database, r *Request) (any, error) {
		tasks, err := read(d.broker, r.Queue, rdb.Pagination{Size: r.Size, Page: r.Page})
		return infos(tasks), err
	}
}

// Info is a base.TaskInfo. Next is in microseconds, null for the zero time.
type Info struct {
	Message *Message `json:"message"`
	State   string   `json:"state"`
	Next    *int64   `json:"next"`
	Result  Hex      `json:"result"`
}

func info(task *base.TaskInfo) *Info {
	result := &Info{Message: fromBase(task.Message), State: task.State.String(), Result: task.Result}
	if !task.NextProcessAt.IsZero() {
		next := task.NextProcessAt.UnixMicro()
		result.Next = &next
	}
	return result
}

func infos(tasks []*base.TaskInfo) []*Info {
	all := make([]*Info, 0, len(tasks))
	for _, task := range tasks {
		all = append(all, info(task))
	}
	return all
}

func init() {
	inspection := map[string]operation{
		"queues":      func(d *database, r *Request) (any, error) { return d.broker.AllQueues() },
		"queue_info":  func(d *database, r *Request) (any, error) { return d.broker.CurrentStats(r.Queue) },
		"history":     history,
		"group_stats": func(d *database, r *Request) (any, error) { return d.broker.GroupStats(r.Queue) },
		"task_info": func(d *database, r *Request) (any, error) {
			task, err := d.broker.GetTaskInfo(r.Queue, r.ID)
			if err != nil {
				return nil, err
			}
			return info(task), nil
		},
		"list_pending":   list((*rdb.RDB).ListPending),
		"list_active":    list((*rdb.RDB).ListActive),
		"list_scheduled": list((*rdb.RDB).ListScheduled),
		"list_retry":     list((*rdb.RDB).ListRetry),
		"list_archived":  list((*rdb.RDB).ListArchived),
		"list_completed": list((*rdb.RDB).ListCompleted),
		"list_aggregating": func(d *database, r *Request) (any, error) {
			tasks, err := d.broker.ListAggregating(r.Queue, r.Group, rdb.Pagination{Size: r.Size, Page: r.Page})
			return infos(tasks), err
		},
		"run_task":                onTask((*rdb.RDB).RunTask),
		"archive_task":            onTask((*rdb.RDB).ArchiveTask),
		"delete_task":             onTask((*rdb.RDB).DeleteTask),
		"run_all_scheduled":       onQueue((*rdb.RDB).RunAllScheduledTasks),
		"run_all_retry":           onQueue((*rdb.RDB).RunAllRetryTasks),
		"run_all_archived":        onQueue((*rdb.RDB).RunAllArchivedTasks),
		"run_all_aggregating":     onGroup((*rdb.RDB).RunAllAggregatingTasks),
		"archive_all_pending":     onQueue((*rdb.RDB).ArchiveAllPendingTasks),
		"archive_all_scheduled":   onQueue((*rdb.RDB).ArchiveAllScheduledTasks),
		"archive_all_retry":       onQueue((*rdb.RDB).ArchiveAllRetryTasks),
		"archive_all_aggregating": onGroup((*rdb.RDB).ArchiveAllAggregatingTasks),
		"delete_all_pending":      onQueue((*rdb.RDB).DeleteAllPendingTasks),
		"delete_all_scheduled":    onQueue((*rdb.RDB).DeleteAllScheduledTasks),
		"delete_all_retry":        onQueue((*rdb.RDB).DeleteAllRetryTasks),
		"delete_all_archived":     onQueue((*rdb.RDB).DeleteAllArchivedTasks),
		"delete_all_completed":    onQueue((*rdb.RDB).DeleteAllCompletedTasks),
		"delete_all_aggregating":  onGroup((*rdb.RDB).DeleteAllAggregatingTasks),
		"update_task_payload": func(d *database, r *Request) (any, error) {
			return nil, d.broker.UpdateTaskPayload(r.Queue, r.ID, r.Data)
		},
		"remove_queue": func(d *database, r *Request) (any, error) {
			return nil, d.broker.RemoveQueue(r.Queue, r.Force)
		},
		"list_servers": func(d *database, r *Request) (any, error) {
			servers, err := d.broker.ListServers()
			all := make([]*Server, 0, len(servers))
			for _, server := range servers {
				all = append(all, fromBaseServer(server))
			}
			return all, err
		},
		"list_workers": func(d *database, r *Request) (any, error) {
			workers, err := d.broker.ListWorkers()
			all := make([]*Worker, 0, len(workers))
			for _, worker := range workers {
				all = append(all, fromBaseWorker(worker))
			}
			return all, err
		},
		"list_scheduler_entries": func(d *database, r *Request) (any, error) {
			entries, err := d.broker.ListSchedulerEntries()
			all := make([]*Entry, 0, len(entries))
			for _, entry := range entries {
				all = append(all, fromBaseEntry(entry))
			}
			return all, err
		},
		"list_scheduler_events": func(d *database, r *Request) (any, error) {
			events, err := d.broker.ListSchedulerEnqueueEvents(r.ID, rdb.Pagination{Size: r.Size, Page: r.Page})
			all := make([]*ShownEvent, 0, len(events))
			for _, event := range events {
				all = append(all, &ShownEvent{TaskID: event.TaskID, At: event.EnqueuedAt.UnixMicro()})
			}
			return all, err
		},
	}
	for name, operation := range inspection {
		operations[name] = operation
	}
}
