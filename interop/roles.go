package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
)

// Task is what a client enqueues. Times and durations are in microseconds; what is null is not given.
type Task struct {
	Type      string            `json:"type"`
	Payload   Hex               `json:"payload"`
	Headers   map[string]string `json:"headers"`
	Queue     *string           `json:"queue"`
	ID        *string           `json:"id"`
	MaxRetry  *int              `json:"max_retry"`
	Timeout   *int64            `json:"timeout"`
	Deadline  *int64            `json:"deadline"`
	Unique    *int64            `json:"unique"`
	ProcessAt *int64            `json:"process_at"`
	ProcessIn *int64            `json:"process_in"`
	Retention *int64            `json:"retention"`
	Group     *string           `json:"group"`
}

func (t *Task) options() []asynq.Option {
	var options []asynq.Option
	if t.Queue != nil {
		options = append(options, asynq.Queue(*t.Queue))
	}
	if t.ID != nil {
		options = append(options, asynq.TaskID(*t.ID))
	}
	if t.MaxRetry != nil {
		options = append(options, asynq.MaxRetry(*t.MaxRetry))
	}
	if t.Timeout != nil {
		options = append(options, asynq.Timeout(micros(*t.Timeout)))
	}
	if t.Deadline != nil {
		options = append(options, asynq.Deadline(time.UnixMicro(*t.Deadline)))
	}
	if t.Unique != nil {
		options = append(options, asynq.Unique(micros(*t.Unique)))
	}
	if t.ProcessAt != nil {
		options = append(options, asynq.ProcessAt(time.UnixMicro(*t.ProcessAt)))
	}
	if t.ProcessIn != nil {
		options = append(options, asynq.ProcessIn(micros(*t.ProcessIn)))
	}
	if t.Retention != nil {
		options = append(options, asynq.Retention(micros(*t.Retention)))
	}
	if t.Group != nil {
		options = append(options, asynq.Group(*t.Group))
	}
	return options
}

func client(args []string) error {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	redis := redisFlags(flags)
	_ = flags.Parse(args)
	client := asynq.NewClient(redis)
	defer client.Close()
	eachLine(func(line []byte) {
		var task Task
		if err := json.Unmarshal(line, &task); err != nil {
			stdout.print(Reply{Err: &Error{Kind: "request", Text: err.Error()}})
			return
		}
		built := asynq.NewTaskWithHeaders(task.Type, task.Payload, task.Headers)
		info, err := client.Enqueue(built, task.options()...)
		if err != nil {
			stdout.print(Reply{Err: toError(err)})
			return
		}
		stdout.print(Reply{OK: map[string]string{"id": info.ID, "state": info.State.String()}})
	})
	return nil
}

// Script is what the payload of a task asks the server to do.
type Script struct {
	// Do is "ok", "fail", "skip", "revoke" or "wait", which waits to be cancelled.
	Do string `json:"do"`
	// FailTimes is how many attempts fail before the first that does not.
	FailTimes int    `json:"fail_times"`
	SleepMS   int64  `json:"sleep_ms"`
	Result    string `json:"result"`
}

// Report tells that an attempt has begun or ended.
type Report struct {
	Event    string            `json:"event"`
	ID       string            `json:"id"`
	Queue    string            `json:"queue"`
	Type     string            `json:"type"`
	Payload  Hex               `json:"payload"`
	Headers  map[string]string `json:"headers"`
	Retried  int               `json:"retried"`
	MaxRetry int               `json:"max_retry"`
	// Deadline is in microseconds.
	Deadline int64  `json:"deadline"`
	Error    string `json:"error"`
}

func server(args []string) error {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	redis := redisFlags(flags)
	queues := flags.String("queues", `{"default":1}`, "queues and priorities, as JSON")
	concurrency := flags.Int("concurrency", 10, "tasks at once")
	retryDelay := flags.Duration("retry-delay", time.Second, "delay of retries")
	aggregate := flags.Bool("aggregate", false, "merge groups into tasks of type merged")
	_ = flags.Parse(args)
	config := asynq.Config{
		Concurrency:              *concurrency,
		Queues:                   map[string]int{},
		LogLevel:                 asynq.ErrorLevel,
		TaskCheckInterval:        50 * time.Millisecond,
		DelayedTaskCheckInterval: 500 * time.Millisecond,
		GroupGracePeriod:         time.Second,
		RetryDelayFunc:           func(int, error, *asynq.Task) time.Duration { return *retryDelay },
	}
	if err := json.Unmarshal([]byte(*queues), &config.Queues); err != nil {
		return fmt.Errorf("-queues: %w", err)
	}
	if *aggregate {
		config.GroupAggregator = asynq.GroupAggregatorFunc(merge)
	}
	srv := asynq.NewServer(redis, config)
	if err := srv.Start(asynq.HandlerFunc(runScript)); err != nil {
		return err
	}
	stdout.print(Report{Event: "ready"})
	waitForSignal()
	srv.Shutdown()
	return nil
}

func merge(group string, tasks []*asynq.Task) *asynq.Task {
	payloads := []string{}
	for _, task := range tasks {
		payloads = append(payloads, string(task.Payload()))
	}
	data, _ := json.Marshal(map[string]any{"do": "ok", "group": group, "payloads": payloads})
	return asynq.NewTask("merged", data)
}

func runScript(ctx context.Context, task *asynq.Task) error {
	id, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	retried, _ := asynq.GetRetryCount(ctx)
	maxRetry, _ := asynq.GetMaxRetry(ctx)
	deadline, _ := ctx.Deadline()
	report := Report{
		Event: "start", ID: id, Queue: queue, Type: task.Type(), Payload: task.Payload(), Headers: task.Headers(),
		Retried: retried, MaxRetry: maxRetry, Deadline: deadline.UnixMicro(),
	}
	stdout.print(report)
	err := perform(ctx, task, retried)
	ended := Report{Event: "end", ID: id, Queue: queue, Retried: retried}
	if err != nil {
		ended.Error = err.Error()
	}
	stdout.print(ended)
	return err
}

func perform(ctx context.Context, task *asynq.Task, retried int) error {
	var script Script
	// Other payloads are for tests that only look at what arrives.
	_ = json.Unmarshal(task.Payload(), &script)
	if script.SleepMS > 0 {
		select {
		case <-time.After(time.Duration(script.SleepMS) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if script.Result != "" {
		if _, err := task.ResultWriter().Write([]byte(script.Result)); err != nil {
			return err
		}
	}
	if retried < script.FailTimes {
		return errors.New("asked to fail")
	}
	switch script.Do {
	case "fail":
		return errors.New("asked to fail")
	case "skip":
		return fmt.Errorf("asked to be archived: %w", asynq.SkipRetry)
	case "revoke":
		return fmt.Errorf("asked to be dropped: %w", asynq.RevokeTask)
	case "wait":
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// Command is what a scheduler is told. Registering answers with the id of the entry.
type Command struct {
	// Do is "register" or "unregister".
	Do   string `json:"do"`
	Spec string `json:"spec"`
	// Task has the options that are given when it is registered.
	Task Task   `json:"task"`
	ID   string `json:"id"`
}

// scheduler runs until there is no more input.
func scheduler(args []string) error {
	flags := flag.NewFlagSet("scheduler", flag.ExitOnError)
	redis := redisFlags(flags)
	heartbeat := flags.Duration("heartbeat", time.Second, "how often entries are shown")
	_ = flags.Parse(args)
	s := asynq.NewScheduler(redis, &asynq.SchedulerOpts{
		LogLevel: asynq.ErrorLevel, HeartbeatInterval: *heartbeat,
	})
	if err := s.Start(); err != nil {
		return err
	}
	eachLine(func(line []byte) {
		id, err := command(s, line)
		if err != nil {
			stdout.print(Reply{Err: toError(err)})
			return
		}
		stdout.print(Reply{OK: id})
	})
	s.Shutdown()
	return nil
}

func command(s *asynq.Scheduler, line []byte) (string, error) {
	var command Command
	if err := json.Unmarshal(line, &command); err != nil {
		return "", err
	}
	if command.Do == "unregister" {
		return command.ID, s.Unregister(command.ID)
	}
	task := asynq.NewTaskWithHeaders(command.Task.Type, command.Task.Payload, command.Task.Headers)
	return s.Register(command.Spec, task, command.Task.options()...)
}

func redisFlags(flags *flag.FlagSet) *asynq.RedisClientOpt {
	options := &asynq.RedisClientOpt{}
	flags.StringVar(&options.Addr, "redis", "127.0.0.1:6379", "address of the server")
	flags.IntVar(&options.DB, "db", 0, "number of the database")
	return options
}

func waitForSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
}
