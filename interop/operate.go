package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/errors"
	"github.com/hibiken/asynq/internal/rdb"
	"github.com/hibiken/asynq/internal/timeutil"
	"github.com/redis/go-redis/v9"
)

// Request names an operation. Times and durations are in microseconds.
type Request struct {
	Op      string    `json:"op"`
	DB      int       `json:"db"`
	Now     int64     `json:"now"`
	Message *Message  `json:"message"`
	Queue   string    `json:"queue"`
	Queues  []string  `json:"queues"`
	Group   string    `json:"group"`
	Set     string    `json:"set"`
	ID      string    `json:"id"`
	IDs     []string  `json:"ids"`
	Text    string    `json:"text"`
	Data    Hex       `json:"data"`
	At      int64     `json:"at"`
	TTL     int64     `json:"ttl"`
	Grace   int64     `json:"grace"`
	Delay   int64     `json:"delay"`
	Size    int       `json:"size"`
	Page    int       `json:"page"`
	Zone    string    `json:"zone"`
	Failure bool      `json:"failure"`
	Force   bool      `json:"force"`
	Server  *Server   `json:"server"`
	Workers []*Worker `json:"workers"`
	Entries []*Entry  `json:"entries"`
	Options *Task     `json:"task"`
}

// Reply has either a result or an error.
type Reply struct {
	OK  any    `json:"ok"`
	Err *Error `json:"err,omitempty"`
}

// Error says what asynq's internal error says.
type Error struct {
	// Kind is the cause if it is one that callers tell apart, otherwise "other".
	Kind string `json:"kind"`
	Code string `json:"code"`
	Text string `json:"text"`
}

func toError(err error) *Error {
	kind := "other"
	switch {
	case errors.Is(err, errors.ErrNoProcessableTask):
		kind = "no_task"
	case errors.Is(err, errors.ErrDuplicateTask) || errors.Is(err, asynq.ErrDuplicateTask):
		kind = "duplicate"
	case errors.Is(err, errors.ErrTaskIdConflict) || errors.Is(err, asynq.ErrTaskIDConflict):
		kind = "id_conflict"
	case errors.IsTaskNotFound(err) || errors.Is(err, asynq.ErrTaskNotFound):
		kind = "task_not_found"
	case errors.IsQueueNotFound(err) || errors.Is(err, asynq.ErrQueueNotFound):
		kind = "queue_not_found"
	case errors.IsQueueNotEmpty(err) || errors.Is(err, asynq.ErrQueueNotEmpty):
		kind = "queue_not_empty"
	case errors.IsTaskAlreadyArchived(err):
		kind = "already_archived"
	}
	return &Error{Kind: kind, Code: errors.CanonicalCode(err).String(), Text: err.Error()}
}

// operator holds a broker for each database.
type operator struct {
	address   string
	databases map[int]*database
}

type database struct {
	client    *redis.Client
	clock     *timeutil.SimulatedClock
	broker    *rdb.RDB
	inspector *asynq.Inspector
}

func (o *operator) database(number int) *database {
	if found, ok := o.databases[number]; ok {
		return found
	}
	client := redis.NewClient(&redis.Options{Addr: o.address, DB: number})
	made := &database{
		client:    client,
		clock:     timeutil.NewSimulatedClock(time.Unix(0, 0)),
		inspector: asynq.NewInspectorFromRedisClient(client),
	}
	made.forget()
	o.databases[number] = made
	return made
}

// forget starts anew with a broker that knows nothing, in particular not which queues it has published.
func (d *database) forget() {
	d.broker = rdb.NewRDB(d.client)
	d.broker.SetClock(d.clock)
}

func operate(args []string) error {
	flags := flag.NewFlagSet("operate", flag.ExitOnError)
	address := flags.String("redis", "127.0.0.1:6379", "address of the server")
	_ = flags.Parse(args)
	o := &operator{address: *address, databases: map[int]*database{}}
	eachLine(func(line []byte) { stdout.print(o.answer(line)) })
	return nil
}

func (o *operator) answer(line []byte) (reply Reply) {
	defer func() {
		if problem := recover(); problem != nil {
			reply = Reply{Err: &Error{Kind: "panic", Text: fmt.Sprint(problem)}}
		}
	}()
	var request Request
	if err := json.Unmarshal(line, &request); err != nil {
		return Reply{Err: &Error{Kind: "request", Text: err.Error()}}
	}
	operation, ok := operations[request.Op]
	if !ok {
		return Reply{Err: &Error{Kind: "request", Text: "unknown operation " + request.Op}}
	}
	d := o.database(request.DB)
	d.clock.SetTime(time.UnixMicro(request.Now).UTC())
	result, err := operation(d, &request)
	if err != nil {
		return Reply{Err: toError(err)}
	}
	return Reply{OK: result}
}

func micros(duration int64) time.Duration { return time.Duration(duration) * time.Microsecond }
