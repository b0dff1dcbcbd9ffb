// Command dashboard answers requests with the handler of asynqmon, the dashboard of Go asynq.
//
// Each line of standard input is a method and a path, such as "GET /api/queues". Each line of standard output is a JSON
// object with the status and the body of the answer.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
)

type answer struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
}

func main() {
	redis := asynq.RedisClientOpt{}
	flag.StringVar(&redis.Addr, "redis", "127.0.0.1:6379", "address of the server")
	flag.IntVar(&redis.DB, "db", 0, "number of the database")
	flag.Parse()
	handler := asynqmon.New(asynqmon.Options{RedisConnOpt: redis})
	defer handler.Close()
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		method, path, _ := strings.Cut(lines.Text(), " ")
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(method, path, nil))
		if err := out.Encode(answer{Status: recorder.Code, Body: recorder.Body.String()}); err != nil {
			os.Exit(1)
		}
	}
}
