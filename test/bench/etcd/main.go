// Load on etcd through its own Go client, in the terms of load.ts beside it: closed-loop callers spread over a number of
// connections, a warm-up that is not counted, one JSON line with the rate and the latencies.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

type result struct {
	PerSecond float64 `json:"perSecond"`
	P50Ms     float64 `json:"p50Ms"`
	P99Ms     float64 `json:"p99Ms"`
	Errors    int64   `json:"errors"`
}

func main() {
	endpoints := flag.String("endpoints", "127.0.0.1:2379", "comma separated")
	work := flag.String("work", "put", "put, get or fill")
	callers := flag.Int("callers", 64, "concurrent callers")
	connections := flag.Int("connections", 8, "client connections")
	seconds := flag.Float64("seconds", 5, "measured seconds")
	warmup := flag.Float64("warmup", 1, "seconds before, not counted")
	keys := flag.Int("keys", 100_000, "distinct keys")
	size := flag.Int("size", 256, "bytes a value")
	flag.Parse()

	clients := make([]*clientv3.Client, *connections)
	for i := range clients {
		all := strings.Split(*endpoints, ",")
		// Each connection begins at another server, as a balanced set of clients would.
		first := all[i%len(all)]
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{first}, DialTimeout: 10 * time.Second})
		if err != nil {
			fail(err)
		}
		defer client.Close()
		clients[i] = client
	}
	value := strings.Repeat("v", *size)
	key := func(n int) string { return fmt.Sprintf("bench/%08d", n) }
	if *work == "fill" {
		fill(clients, *keys, key, value)
		return
	}
	begin := time.Now().Add(time.Duration(*warmup * float64(time.Second)))
	end := begin.Add(time.Duration(*seconds * float64(time.Second)))
	latencies := make([][]float64, *callers)
	var failures atomic.Int64
	var group sync.WaitGroup
	for caller := range *callers {
		group.Add(1)
		go func() {
			defer group.Done()
			client := clients[caller%len(clients)]
			for {
				started := time.Now()
				if started.After(end) {
					return
				}
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				var err error
				if *work == "put" {
					_, err = client.Put(ctx, key(rand.IntN(*keys)), value)
				} else {
					_, err = client.Get(ctx, key(rand.IntN(*keys)))
				}
				cancel()
				now := time.Now()
				if err != nil {
					failures.Add(1)
				} else if started.After(begin) && now.Before(end) {
					latencies[caller] = append(latencies[caller], float64(now.Sub(started).Microseconds())/1000)
				}
			}
		}()
	}
	group.Wait()
	all := slices.Concat(latencies...)
	slices.Sort(all)
	if len(all) == 0 {
		fail(fmt.Errorf("no operation succeeded, %d failed", failures.Load()))
	}
	at := func(quantile float64) float64 { return all[int(quantile*float64(len(all)-1))] }
	out := result{PerSecond: float64(len(all)) / *seconds, P50Ms: at(0.5), P99Ms: at(0.99), Errors: failures.Load()}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fail(err)
	}
}

func fill(clients []*clientv3.Client, keys int, key func(int) string, value string) {
	var next atomic.Int64
	var group sync.WaitGroup
	for worker := range 256 {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				n := int(next.Add(1)) - 1
				if n >= keys {
					return
				}
				if _, err := clients[worker%len(clients)].Put(context.Background(), key(n), value); err != nil {
					fail(err)
				}
			}
		}()
	}
	group.Wait()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
