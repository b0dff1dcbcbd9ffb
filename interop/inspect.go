package main

import (
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// Shown is all that the public inspector shows of a database. Lists are read page by page.
type Shown struct {
	Queues  map[string]*ShownQueue   `json:"queues"`
	Servers []*ShownServer           `json:"servers"`
	Entries []*ShownEntry            `json:"entries"`
	Events  map[string][]*ShownEvent `json:"events"`
}

// ShownQueue is what it shows of a queue.
type ShownQueue struct {
	Numbers map[string]int64 `json:"numbers"`
	Paused  bool             `json:"paused"`
	// PendingSince is that of the next task, in microseconds, or 0.
	PendingSince int64                   `json:"pending_since"`
	Memory       int64                   `json:"memory"`
	History      [][3]int64              `json:"history"`
	Groups       map[string]int          `json:"groups"`
	Lists        map[string][]*ShownTask `json:"lists"`
	Tasks        map[string]*ShownTask   `json:"tasks"`
}

// ShownTask is an asynq.TaskInfo. Times and durations are in seconds, 0 for none, and 1 for the next time if that is now.
type ShownTask struct {
	ID           string            `json:"id"`
	Queue        string            `json:"queue"`
	Type         string            `json:"type"`
	Payload      Hex               `json:"payload"`
	Headers      map[string]string `json:"headers"`
	State        string            `json:"state"`
	MaxRetry     int               `json:"max_retry"`
	Retried      int               `json:"retried"`
	LastErr      string            `json:"last_err"`
	LastFailedAt int64             `json:"last_failed_at"`
	Timeout      int64             `json:"timeout"`
	Deadline     int64             `json:"deadline"`
	Group        string            `json:"group"`
	Next         int64             `json:"next"`
	IsOrphaned   bool              `json:"is_orphaned"`
	Retention    int64             `json:"retention"`
	CompletedAt  int64             `json:"completed_at"`
	Result       Hex               `json:"result"`
}

// ShownServer is an asynq.ServerInfo. Times are in microseconds.
type ShownServer struct {
	ID             string         `json:"id"`
	Host           string         `json:"host"`
	PID            int            `json:"pid"`
	Concurrency    int            `json:"concurrency"`
	Queues         map[string]int `json:"queues"`
	StrictPriority bool           `json:"strict_priority"`
	Started        int64          `json:"started"`
	Status         string         `json:"status"`
	Workers        []*ShownWorker `json:"workers"`
}

// ShownWorker is an asynq.WorkerInfo. Times are in microseconds.
type ShownWorker struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Payload  Hex    `json:"payload"`
	Queue    string `json:"queue"`
	Started  int64  `json:"started"`
	Deadline int64  `json:"deadline"`
}

// ShownEntry is an asynq.SchedulerEntry. Times are in microseconds, 0 for none.
type ShownEntry struct {
	ID      string   `json:"id"`
	Spec    string   `json:"spec"`
	Type    string   `json:"type"`
	Payload Hex      `json:"payload"`
	Options []string `json:"options"`
	Next    int64    `json:"next"`
	Prev    int64    `json:"prev"`
}

// ShownEvent is an asynq.SchedulerEnqueueEvent. The time is in microseconds.
type ShownEvent struct {
	TaskID string `json:"task_id"`
	At     int64  `json:"at"`
}

func init() {
	operations["inspect"] = func(d *database, r *Request) (any, error) { return inspect(d.inspector, r.Size) }
}

// inspect reads everything with the public inspector.
func inspect(i *asynq.Inspector, pageSize int) (*Shown, error) {
	shown := &Shown{Queues: map[string]*ShownQueue{}, Events: map[string][]*ShownEvent{}}
	queues, err := i.Queues()
	if err != nil {
		return nil, fmt.Errorf("Queues: %w", err)
	}
	for _, queue := range queues {
		if shown.Queues[queue], err = inspectQueue(i, queue, pageSize); err != nil {
			return nil, err
		}
	}
	if shown.Servers, err = inspectServers(i); err != nil {
		return nil, err
	}
	entries, err := i.SchedulerEntries()
	if err != nil {
		return nil, fmt.Errorf("SchedulerEntries: %w", err)
	}
	for _, entry := range entries {
		shown.Entries = append(shown.Entries, shownEntry(entry))
		events, err := i.ListSchedulerEnqueueEvents(entry.ID, asynq.PageSize(1000))
		if err != nil {
			return nil, fmt.Errorf("ListSchedulerEnqueueEvents: %w", err)
		}
		for _, event := range events {
			shown.Events[entry.ID] = append(
				shown.Events[entry.ID], &ShownEvent{TaskID: event.TaskID, At: event.EnqueuedAt.UnixMicro()})
		}
	}
	return shown, nil
}

func inspectQueue(i *asynq.Inspector, queue string, pageSize int) (*ShownQueue, error) {
	info, err := i.GetQueueInfo(queue)
	if err != nil {
		return nil, fmt.Errorf("GetQueueInfo: %w", err)
	}
	shown := &ShownQueue{
		Numbers: map[string]int64{
			"size": int64(info.Size), "groups": int64(info.Groups), "pending": int64(info.Pending),
			"active": int64(info.Active), "scheduled": int64(info.Scheduled), "retry": int64(info.Retry),
			"archived": int64(info.Archived), "completed": int64(info.Completed),
			"aggregating": int64(info.Aggregating), "processed": int64(info.Processed),
			"failed": int64(info.Failed), "processed_total": int64(info.ProcessedTotal),
			"failed_total": int64(info.FailedTotal),
		},
		Paused: info.Paused,
		Memory: info.MemoryUsage,
		Groups: map[string]int{},
		Lists:  map[string][]*ShownTask{},
		Tasks:  map[string]*ShownTask{},
	}
	if info.Latency != 0 {
		shown.PendingSince = info.Timestamp.Add(-info.Latency).UnixMicro()
	}
	history, err := i.History(queue, 7)
	if err != nil {
		return nil, fmt.Errorf("History: %w", err)
	}
	for _, day := range history {
		began := day.Date.UTC().Truncate(24 * time.Hour).Unix()
		shown.History = append(shown.History, [3]int64{began, int64(day.Processed), int64(day.Failed)})
	}
	return shown, inspectLists(i, queue, pageSize, shown)
}

type listing func(options ...asynq.ListOption) ([]*asynq.TaskInfo, error)

// inspectLists reads the tasks of all states and looks each up.
func inspectLists(i *asynq.Inspector, queue string, pageSize int, shown *ShownQueue) error {
	of := func(list func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error)) listing {
		return func(options ...asynq.ListOption) ([]*asynq.TaskInfo, error) { return list(queue, options...) }
	}
	lists := map[string]listing{
		"pending": of(i.ListPendingTasks), "active": of(i.ListActiveTasks), "scheduled": of(i.ListScheduledTasks),
		"retry": of(i.ListRetryTasks), "archived": of(i.ListArchivedTasks), "completed": of(i.ListCompletedTasks),
	}
	groups, err := i.Groups(queue)
	if err != nil {
		return fmt.Errorf("Groups: %w", err)
	}
	for _, group := range groups {
		shown.Groups[group.Group] = group.Size
		lists["group "+group.Group] = func(options ...asynq.ListOption) ([]*asynq.TaskInfo, error) {
			return i.ListAggregatingTasks(queue, group.Group, options...)
		}
	}
	for name, list := range lists {
		tasks, err := allPages(list, pageSize)
		if err != nil {
			return fmt.Errorf("list of %s: %w", name, err)
		}
		shown.Lists[name] = tasks
		for _, task := range tasks {
			found, err := i.GetTaskInfo(queue, task.ID)
			if err != nil {
				return fmt.Errorf("GetTaskInfo of %s task %q: %w", name, task.ID, err)
			}
			shown.Tasks[task.ID] = shownTask(found)
		}
	}
	return nil
}

func allPages(list listing, size int) ([]*ShownTask, error) {
	all := []*ShownTask{}
	for page := 1; ; page++ {
		tasks, err := list(asynq.PageSize(size), asynq.Page(page))
		if err != nil {
			return nil, err
		}
		for _, task := range tasks {
			all = append(all, shownTask(task))
		}
		if len(tasks) < size {
			return all, nil
		}
	}
}

func shownTask(task *asynq.TaskInfo) *ShownTask {
	next := seconds(task.NextProcessAt)
	if task.State == asynq.TaskStatePending && next != 0 {
		next = 1
	}
	return &ShownTask{
		ID: task.ID, Queue: task.Queue, Type: task.Type, Payload: task.Payload, Headers: task.Headers,
		State: task.State.String(), MaxRetry: task.MaxRetry, Retried: task.Retried, LastErr: task.LastErr,
		LastFailedAt: seconds(task.LastFailedAt), Timeout: int64(task.Timeout.Seconds()),
		Deadline: seconds(task.Deadline), Group: task.Group, Next: next, IsOrphaned: task.IsOrphaned,
		Retention: int64(task.Retention.Seconds()), CompletedAt: seconds(task.CompletedAt), Result: task.Result,
	}
}

func inspectServers(i *asynq.Inspector) ([]*ShownServer, error) {
	servers, err := i.Servers()
	if err != nil {
		return nil, fmt.Errorf("Servers: %w", err)
	}
	var all []*ShownServer
	for _, server := range servers {
		shown := &ShownServer{
			ID: server.ID, Host: server.Host, PID: server.PID, Concurrency: server.Concurrency, Queues: server.Queues,
			StrictPriority: server.StrictPriority, Started: server.Started.UnixMicro(), Status: server.Status,
		}
		for _, worker := range server.ActiveWorkers {
			shown.Workers = append(shown.Workers, &ShownWorker{
				ID: worker.TaskID, Type: worker.TaskType, Payload: worker.TaskPayload, Queue: worker.Queue,
				Started: worker.Started.UnixMicro(), Deadline: worker.Deadline.UnixMicro(),
			})
		}
		all = append(all, shown)
	}
	return all, nil
}

func shownEntry(entry *asynq.SchedulerEntry) *ShownEntry {
	options := []string{}
	for _, option := range entry.Opts {
		options = append(options, option.String())
	}
	return &ShownEntry{
		ID: entry.ID, Spec: entry.Spec, Type: entry.Task.Type(), Payload: entry.Task.Payload(), Options: options,
		Next: microsOrNone(entry.Next), Prev: microsOrNone(entry.Prev),
	}
}

func seconds(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.Unix()
}

func microsOrNone(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMicro()
}
