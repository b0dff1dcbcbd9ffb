// Prints when specs fire according to robfig/cron v3, as the table that the tests of asynq-cron compare with.
//
//	go run . > ../specs.tsv
//	go run . -seed 7 -random 10000 > more.tsv    # for SPEC_TABLE=more.tsv cargo test --test specs
//
// Each line: zone, start (Unix seconds), spec as a JSON string, then up to six next times (Unix seconds), "never" or
// "error". Left out is what robfig/cron has no answer to: where it searches for ever, panics, or gives a time that is
// not after the start.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
)

const times = 6

// What the next times are, or nothing if there is no answer.
func answer(zone *time.Location, start int64, spec string) (fields []string, ok bool) {
	done := make(chan []string, 1)
	go func() {
		defer func() {
			if recover() != nil {
				done <- nil
			}
		}()
		done <- next(zone, start, spec)
	}()
	select {
	case fields := <-done:
		return fields, fields != nil
	case <-time.After(2 * time.Second):
		return nil, false
	}
}

func next(zone *time.Location, start int64, spec string) []string {
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return []string{"error"}
	}
	var fields []string
	at := time.Unix(start, 0).In(zone)
	for range times {
		next := schedule.Next(at)
		if next.IsZero() {
			return append(fields, "never")
		}
		if !next.After(at) {
			return nil
		}
		fields = append(fields, fmt.Sprint(next.Unix()))
		at = next
	}
	return fields
}

func unix(text string) int64 {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at.Unix()
}

func main() {
	seed := flag.Int64("seed", 20240101, "of the random specs")
	rows := flag.Int("random", 800, "how many random specs, of which three eighths are in UTC")
	flag.Parse()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	row := func(name string, start int64, spec string) {
		zone, err := time.LoadLocation(name)
		if err != nil {
			panic(err)
		}
		if fields, ok := answer(zone, start, spec); ok {
			quoted, _ := json.Marshal(spec)
			fmt.Fprintf(out, "%s\t%d\t%s\t%s\n", name, start, quoted, strings.Join(fields, "\t"))
		}
	}
	for _, spec := range chosen {
		row("UTC", unix("2024-01-01T00:00:30Z"), spec)
		row("America/New_York", unix("2024-12-30T17:59:59Z"), spec)
	}
	for _, change := range changes {
		for _, spec := range around {
			row(change.zone, unix(change.at)-30*3600, spec)
		}
	}
	random := rand.New(rand.NewSource(*seed))
	for range *rows * 3 / 8 {
		start := unix("2010-01-01T00:00:00Z") + random.Int63n(14*365*86400)
		row("UTC", start, randomSpec(random))
	}
	for range *rows * 5 / 8 {
		change := changes[random.Intn(len(changes))]
		row(change.zone, unix(change.at)-random.Int63n(4*86400), randomSpec(random))
	}
}

func randomSpec(random *rand.Rand) string {
	fields := make([]string, 5)
	for i, bounds := range [][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}} {
		fields[i] = randomField(random, bounds[0], bounds[1])
	}
	return strings.Join(fields, " ")
}

func randomField(random *rand.Rand, least, most int) string {
	value := func() int { return least + random.Intn(most-least+1) }
	switch random.Intn(9) {
	case 0:
		return fmt.Sprint(value())
	case 1:
		return fmt.Sprintf("%d,%d", value(), value())
	case 2:
		a, b := value(), value()
		return fmt.Sprintf("%d-%d", min(a, b), max(a, b))
	case 3:
		return fmt.Sprintf("*/%d", 1+random.Intn(most))
	case 4:
		return fmt.Sprintf("%d/%d", value(), 1+random.Intn(9))
	case 5:
		return "?"
	default:
		return "*"
	}
}
