package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// benchType is a type of tasks that servers of either kind handle while they are measured.
const benchType = "bench:task"

// Measured is what a measure of throughput took.
type Measured struct {
	Seconds float64 `json:"seconds"`
	// CPU is in seconds, of this process.
	CPU float64 `json:"cpu"`
}

// measure holds the options of all measures. Apart from these, asynq has its defaults.
type measure struct {
	redis       asynq.RedisConnOpt
	tasks       int
	inFlight    int
	concurrency int
	spread      time.Duration
}

// bench takes one measure for "cargo xtask bench --against go". It says when it is ready and begins with the next line
// of standard input; a server ends with the input.
func bench(args []string) error {
	measures := map[string]func(m *measure) error{
		"enqueue": benchEnqueue,
		"process": benchProcess,
		"serve":   benchServe,
		"stamp":   benchStamp,
	}
	var m measure
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	url := flags.String("url", "redis://127.0.0.1:6379", "where Redis is")
	flags.IntVar(&m.tasks, "tasks", 1000, "how many tasks")
	flags.IntVar(&m.inFlight, "in-flight", 1, "how many tasks are enqueued at once")
	flags.IntVar(&m.concurrency, "concurrency", 10, "how many tasks are run at once")
	flags.DurationVar(&m.spread, "spread", 0, "schedule the tasks, evenly over this time, instead of enqueueing them at random times")
	_ = flags.Parse(args)
	take, ok := measures[flags.Arg(0)]
	if !ok {
		return fmt.Errorf("bench has no measure %q", flags.Arg(0))
	}
	redis, err := asynq.ParseRedisURI(*url)
	if err != nil {
		return err
	}
	m.redis = redis
	return take(&m)
}

// benchEnqueue enqueues tasks with one client, from as many goroutines as tasks are to be in flight.
func benchEnqueue(m *measure) error {
	client := asynq.NewClient(m.redis)
	defer client.Close()
	payload := []byte(strings.Repeat("x", 100))
	// The connection is there before the measure begins.
	if _, err := client.Enqueue(asynq.NewTask(benchType, payload)); err != nil {
		return err
	}
	waitToBegin()
	var left atomic.Int64
	left.Store(int64(m.tasks))
	failures := make(chan error, m.inFlight)
	var all sync.WaitGroup
	began := begin()
	for range m.inFlight {
		all.Add(1)
		go func() {
			defer all.Done()
			for left.Add(-1) >= 0 {
				if _, err := client.Enqueue(asynq.NewTask(benchType, payload)); err != nil {
					failures <- err
					return
				}
			}
		}()
	}
	all.Wait()
	measured := began.end()
	select {
	case err := <-failures:
		return err
	default:
		stdout.print(measured)
		return nil
	}
}

// benchProcess runs a backlog: from the start of the server until all outcomes are stored.
func benchProcess(m *measure) error {
	connection := m.redis.MakeRedisClient().(redis.UniversalClient)
	defer connection.Close()
	var left atomic.Int64
	left.Store(int64(m.tasks))
	handled := make(chan struct{})
	server := m.server()
	if err := server.Ping(); err != nil {
		return err
	}
	waitToBegin()
	began := begin()
	err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		if left.Add(-1) == 0 {
			close(handled)
		}
		return nil
	}))
	if err != nil {
		return err
	}
	<-handled
	for {
		processed, err := connection.Get(context.Background(), "asynq:{default}:processed").Int()
		if err != nil && err != redis.Nil {
			return err
		}
		if processed >= m.tasks {
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	stdout.print(began.end())
	waitForEnd()
	return nil
}

// benchServe reports, in nanoseconds, how long after the time in its payload each task starts.
func benchServe(m *measure) error {
	server := m.server()
	err := server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		started := time.Now().UnixNano()
		stamp, err := strconv.ParseInt(string(task.Payload()), 10, 64)
		if err != nil {
			stamp = started
		}
		stdout.print(started - stamp)
		return nil
	}))
	if err != nil {
		return err
	}
	stdout.print("ready")
	waitForEnd()
	return nil
}

// benchStamp enqueues tasks whose payload tells when that began, or when they are due.
func benchStamp(m *measure) error {
	client := asynq.NewClient(m.redis)
	defer client.Close()
	if err := client.Ping(); err != nil {
		return err
	}
	waitToBegin()
	for n := range m.tasks {
		var options []asynq.Option
		stamp := time.Now()
		if m.spread > 0 {
			stamp = stamp.Add(300*time.Millisecond + m.spread*time.Duration(n)/time.Duration(m.tasks))
			options = append(options, asynq.ProcessAt(stamp))
		} else {
			// Not in step with a server that looks every so many milliseconds.
			time.Sleep(time.Duration(20+rand.Int63n(480)) * time.Millisecond)
			stamp = time.Now()
		}
		payload := strconv.FormatInt(stamp.UnixNano(), 10)
		if _, err := client.Enqueue(asynq.NewTask(benchType, []byte(payload)), options...); err != nil {
			return err
		}
	}
	return nil
}

func (m *measure) server() *asynq.Server {
	return asynq.NewServer(m.redis, asynq.Config{Concurrency: m.concurrency, LogLevel: asynq.ErrorLevel})
}

var stdin = bufio.NewReader(os.Stdin)

func waitToBegin() {
	stdout.print("ready")
	if _, err := stdin.ReadString('\n'); err != nil {
		os.Exit(1)
	}
}

func waitForEnd() { _, _ = io.Copy(io.Discard, stdin) }

type beginning struct {
	at  time.Time
	cpu float64
}

func begin() beginning { return beginning{at: time.Now(), cpu: ownCPU()} }

func (b beginning) end() Measured {
	return Measured{Seconds: time.Since(b.at).Seconds(), CPU: ownCPU() - b.cpu}
}

func ownCPU() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
