// Command interop drives the real Go asynq for the tests that compare the Rust one with it.
//
//	interop operate     performs broker and inspector operations read from standard input, one JSON object per line
//	interop client      enqueues tasks read from standard input
//	interop server      runs tasks, as their payloads say, and reports each on standard output
//	interop scheduler   enqueues tasks periodically, as it is told on standard input
//	interop bench       takes a measure that is compared with ours
//
// Every answer and every report is one JSON object on one line.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
)

// Hex is bytes that are written as hexadecimal digits. Null stands for a nil slice, which asynq tells from an empty one.
type Hex []byte

// MarshalJSON implements json.Marshaler.
func (h Hex) MarshalJSON() ([]byte, error) {
	if h == nil {
		return []byte("null"), nil
	}
	return json.Marshal(hex.EncodeToString(h))
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Hex) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil || text == nil {
		*h = nil
		return err
	}
	decoded, err := hex.DecodeString(*text)
	*h = decoded
	if *h == nil {
		*h = Hex{}
	}
	return err
}

// output writes lines that are whole also when the process is killed.
type output struct {
	mutex sync.Mutex
	out   io.Writer
}

func (o *output) print(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		line, _ = json.Marshal(map[string]any{"err": map[string]string{"text": err.Error()}})
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if _, err := o.out.Write(append(line, '\n')); err != nil {
		os.Exit(1)
	}
}

var stdout = &output{out: os.Stdout}

// eachLine hands lines of standard input to a function until there are no more.
func eachLine(handle func(line []byte)) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<16), 1<<28)
	for lines.Scan() {
		handle(lines.Bytes())
	}
}

func main() {
	roles := map[string]func(args []string) error{
		"operate":   operate,
		"client":    client,
		"server":    server,
		"scheduler": scheduler,
		"bench":     bench,
	}
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			if err := role(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, "interop:", err)
				os.Exit(1)
			}
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: interop operate | client | server | scheduler | bench")
	os.Exit(2)
}
