// Go's fluent-logger, which is also Docker's and nerdctl's: agent_go HOST PORT TAG COUNT MODE. PORT 0: HOST is the path of
// a Unix socket.
//
// MODE holds "kept" (one connection for all events) or "each" (one connection per event), "async" (Docker's mode), "json"
// (JSON in place of MessagePack), and "ack" (every event asks for an ack).
package main

import (
	"log"
	"os"
	"strconv"
	"strings"

	"github.com/fluent/fluent-logger-golang/fluent"
)

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	host, port, tag, count, mode := os.Args[1], number(os.Args[2]), os.Args[3], number(os.Args[4]), os.Args[5]
	network := "tcp"
	if port == 0 {
		network = "unix"
	}
	open := func() *fluent.Fluent {
		logger, err := fluent.New(fluent.Config{
			FluentNetwork:      network,
			FluentHost:         host,
			FluentPort:         port,
			FluentSocketPath:   host,
			MarshalAsJSON:      strings.Contains(mode, "json"),
			RequestAck:         strings.Contains(mode, "ack"),
			Async:              strings.Contains(mode, "async"),
			SubSecondPrecision: strings.Contains(mode, "async"),
			AsyncResultCallback: func(_ []byte, err error) {
				if err != nil {
					log.Fatal(err)
				}
			},
		})
		if err != nil {
			log.Fatal(err)
		}
		return logger
	}
	finish := func(logger *fluent.Fluent) {
		if err := logger.Close(); err != nil {
			log.Fatal(err)
		}
	}

	logger := open()
	for n := 0; n < count; n++ {
		if n > 0 && strings.Contains(mode, "each") {
			finish(logger)
			logger = open()
		}
		if err := logger.Post(tag, map[string]int{"n": n}); err != nil {
			log.Fatal(err)
		}
	}
	finish(logger)
}
