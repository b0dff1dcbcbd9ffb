package main

import (
	"time"

	"github.com/hibiken/asynq/internal/base"
)

// Encodings and names, for golden vectors.
func init() {
	codec := map[string]operation{
		"encode_message": func(d *database, r *Request) (any, error) {
			data, err := base.EncodeMessage(r.Message.toBase())
			return Hex(data), err
		},
		"decode_message": func(d *database, r *Request) (any, error) {
			message, err := base.DecodeMessage(r.Data)
			if err != nil {
				return nil, err
			}
			return fromBase(message), nil
		},
		"encode_server": func(d *database, r *Request) (any, error) {
			data, err := base.EncodeServerInfo(r.Server.toBase())
			return Hex(data), err
		},
		"decode_server": func(d *database, r *Request) (any, error) {
			server, err := base.DecodeServerInfo(r.Data)
			if err != nil {
				return nil, err
			}
			return fromBaseServer(server), nil
		},
		"encode_worker": func(d *database, r *Request) (any, error) {
			data, err := base.EncodeWorkerInfo(r.Workers[0].toBase())
			return Hex(data), err
		},
		"decode_worker": func(d *database, r *Request) (any, error) {
			worker, err := base.DecodeWorkerInfo(r.Data)
			if err != nil {
				return nil, err
			}
			return fromBaseWorker(worker), nil
		},
		"encode_entry": func(d *database, r *Request) (any, error) {
			data, err := base.EncodeSchedulerEntry(r.Entries[0].toBase())
			return Hex(data), err
		},
		"decode_entry": func(d *database, r *Request) (any, error) {
			entry, err := base.DecodeSchedulerEntry(r.Data)
			if err != nil {
				return nil, err
			}
			return fromBaseEntry(entry), nil
		},
		"encode_event": func(d *database, r *Request) (any, error) {
			event := &base.SchedulerEnqueueEvent{TaskID: r.ID, EnqueuedAt: time.UnixMicro(r.At)}
			data, err := base.EncodeSchedulerEnqueueEvent(event)
			return Hex(data), err
		},
		"decode_event": func(d *database, r *Request) (any, error) {
			event, err := base.DecodeSchedulerEnqueueEvent(r.Data)
			if err != nil {
				return nil, err
			}
			return &ShownEvent{TaskID: event.TaskID, At: event.EnqueuedAt.UnixMicro()}, nil
		},
		"unique_key": func(d *database, r *Request) (any, error) {
			return base.UniqueKey(r.Queue, r.Text, r.Data), nil
		},
		"keys": func(d *database, r *Request) (any, error) {
			now := time.UnixMicro(r.Now).UTC()
			return []string{
				base.TaskKey(r.Queue, r.ID), base.PendingKey(r.Queue), base.ActiveKey(r.Queue), base.LeaseKey(r.Queue),
				base.ScheduledKey(r.Queue), base.RetryKey(r.Queue), base.ArchivedKey(r.Queue),
				base.CompletedKey(r.Queue), base.PausedKey(r.Queue), base.ProcessedTotalKey(r.Queue),
				base.FailedTotalKey(r.Queue), base.ProcessedKey(r.Queue, now), base.FailedKey(r.Queue, now),
				base.GroupKey(r.Queue, r.Group), base.AllGroups(r.Queue), base.AllAggregationSets(r.Queue),
			}, nil
		},
		"option_texts": func(d *database, r *Request) (any, error) {
			texts := []string{}
			for _, option := range r.Options.options() {
				texts = append(texts, option.String())
			}
			return texts, nil
		},
	}
	for name, operation := range codec {
		operations[name] = operation
	}
}
