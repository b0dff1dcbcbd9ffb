package main

import (
	"time"
	_ "time/tzdata" // for machines that have no zones

	"github.com/robfig/cron/v3"
)

// patience is long for a search that ends. One that does not is not compared.
const patience = 500 * time.Millisecond

// Firing says when a spec fires.
type Firing struct {
	// Answer is "times", "error" if the spec is refused, or "none" where robfig/cron has no answer: where it searches for
	// ever, panics, or gives a time that is not after the one before.
	Answer string `json:"answer"`
	// Times are in seconds. Fewer than asked for if it never fires again.
	Times []int64 `json:"times"`
}

func init() {
	operations["next_times"] = func(d *database, r *Request) (any, error) {
		zone, err := time.LoadLocation(r.Zone)
		if err != nil {
			return nil, err
		}
		return nextTimes(zone, time.UnixMicro(r.At).In(zone), r.Text, r.Size), nil
	}
}

// nextTimes may leave a search behind that does not end: who gets "none" starts a new process.
func nextTimes(zone *time.Location, start time.Time, spec string, count int) Firing {
	done := make(chan Firing, 1)
	go func() {
		defer func() {
			if recover() != nil {
				done <- Firing{Answer: "none"}
			}
		}()
		done <- fire(start, spec, count)
	}()
	select {
	case firing := <-done:
		return firing
	case <-time.After(patience):
		return Firing{Answer: "none"}
	}
}

func fire(at time.Time, spec string, count int) Firing {
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return Firing{Answer: "error"}
	}
	firing := Firing{Answer: "times", Times: []int64{}}
	for range count {
		next := schedule.Next(at)
		if next.IsZero() {
			break
		}
		if !next.After(at) {
			return Firing{Answer: "none"}
		}
		firing.Times = append(firing.Times, next.Unix())
		at = next
	}
	return firing
}
