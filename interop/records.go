package main

import (
	"time"

	"github.com/hibiken/asynq/internal/base"
)

// Message is a base.TaskMessage.
type Message struct {
	Type         string            `json:"type"`
	Payload      Hex               `json:"payload"`
	ID           string            `json:"id"`
	Queue        string            `json:"queue"`
	Retry        int               `json:"retry"`
	Retried      int               `json:"retried"`
	ErrorMsg     string            `json:"error_msg"`
	Timeout      int64             `json:"timeout"`
	Deadline     int64             `json:"deadline"`
	UniqueKey    string            `json:"unique_key"`
	LastFailedAt int64             `json:"last_failed_at"`
	Retention    int64             `json:"retention"`
	CompletedAt  int64             `json:"completed_at"`
	GroupKey     string            `json:"group_key"`
	Headers      map[string]string `json:"headers"`
}

func (m *Message) toBase() *base.TaskMessage {
	return &base.TaskMessage{
		Type: m.Type, Payload: m.Payload, ID: m.ID, Queue: m.Queue, Retry: m.Retry, Retried: m.Retried,
		ErrorMsg: m.ErrorMsg, Timeout: m.Timeout, Deadline: m.Deadline, UniqueKey: m.UniqueKey,
		LastFailedAt: m.LastFailedAt, Retention: m.Retention, CompletedAt: m.CompletedAt, GroupKey: m.GroupKey,
		Headers: m.Headers,
	}
}

func fromBase(m *base.TaskMessage) *Message {
	return &Message{
		Type: m.Type, Payload: m.Payload, ID: m.ID, Queue: m.Queue, Retry: m.Retry, Retried: m.Retried,
		ErrorMsg: m.ErrorMsg, Timeout: m.Timeout, Deadline: m.Deadline, UniqueKey: m.UniqueKey,
		LastFailedAt: m.LastFailedAt, Retention: m.Retention, CompletedAt: m.CompletedAt, GroupKey: m.GroupKey,
		Headers: m.Headers,
	}
}

func fromBases(messages []*base.TaskMessage) []*Message {
	all := make([]*Message, 0, len(messages))
	for _, message := range messages {
		all = append(all, fromBase(message))
	}
	return all
}

// Server is a base.ServerInfo. Times are in microseconds.
type Server struct {
	Host              string         `json:"host"`
	PID               int            `json:"pid"`
	ServerID          string         `json:"server_id"`
	Concurrency       int            `json:"concurrency"`
	Queues            map[string]int `json:"queues"`
	StrictPriority    bool           `json:"strict_priority"`
	Status            string         `json:"status"`
	Started           int64          `json:"started"`
	ActiveWorkerCount int            `json:"active_worker_count"`
}

func (s *Server) toBase() *base.ServerInfo {
	return &base.ServerInfo{
		Host: s.Host, PID: s.PID, ServerID: s.ServerID, Concurrency: s.Concurrency, Queues: s.Queues,
		StrictPriority: s.StrictPriority, Status: s.Status, Started: time.UnixMicro(s.Started),
		ActiveWorkerCount: s.ActiveWorkerCount,
	}
}

func fromBaseServer(s *base.ServerInfo) *Server {
	return &Server{
		Host: s.Host, PID: s.PID, ServerID: s.ServerID, Concurrency: s.Concurrency, Queues: s.Queues,
		StrictPriority: s.StrictPriority, Status: s.Status, Started: s.Started.UnixMicro(),
		ActiveWorkerCount: s.ActiveWorkerCount,
	}
}

// Worker is a base.WorkerInfo. Times are in microseconds.
type Worker struct {
	Host     string `json:"host"`
	PID      int    `json:"pid"`
	ServerID string `json:"server_id"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	Payload  Hex    `json:"payload"`
	Queue    string `json:"queue"`
	Started  int64  `json:"started"`
	Deadline int64  `json:"deadline"`
}

func (w *Worker) toBase() *base.WorkerInfo {
	return &base.WorkerInfo{
		Host: w.Host, PID: w.PID, ServerID: w.ServerID, ID: w.ID, Type: w.Type, Payload: w.Payload, Queue: w.Queue,
		Started: time.UnixMicro(w.Started), Deadline: time.UnixMicro(w.Deadline),
	}
}

func fromBaseWorker(w *base.WorkerInfo) *Worker {
	return &Worker{
		Host: w.Host, PID: w.PID, ServerID: w.ServerID, ID: w.ID, Type: w.Type, Payload: w.Payload, Queue: w.Queue,
		Started: w.Started.UnixMicro(), Deadline: w.Deadline.UnixMicro(),
	}
}

// Entry is a base.SchedulerEntry. Times are in microseconds.
type Entry struct {
	ID      string   `json:"id"`
	Spec    string   `json:"spec"`
	Type    string   `json:"type"`
	Payload Hex      `json:"payload"`
	Opts    []string `json:"opts"`
	Next    int64    `json:"next"`
	Prev    int64    `json:"prev"`
}

func (e *Entry) toBase() *base.SchedulerEntry {
	return &base.SchedulerEntry{
		ID: e.ID, Spec: e.Spec, Type: e.Type, Payload: e.Payload, Opts: e.Opts,
		Next: time.UnixMicro(e.Next), Prev: time.UnixMicro(e.Prev),
	}
}

func fromBaseEntry(e *base.SchedulerEntry) *Entry {
	return &Entry{
		ID: e.ID, Spec: e.Spec, Type: e.Type, Payload: e.Payload, Opts: e.Opts,
		Next: e.Next.UnixMicro(), Prev: e.Prev.UnixMicro(),
	}
}
