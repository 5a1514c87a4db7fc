// Load on etcd through its own Go client, in the terms of load.ts beside it: closed-loop callers spread over a number of
// connections, a warm-up that is not counted, `begin` and `end` around what is, then one JSON line.
package main

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const noiseBytes = 1 << 20

type result struct {
	PerSecond float64 `json:"perSecond"`
	P50Ms     float64 `json:"p50Ms"`
	P99Ms     float64 `json:"p99Ms"`
	P999Ms    float64 `json:"p999Ms"`
	// The longest time between two successes of whichever callers.
	GapMs        float64 `json:"gapMs"`
	Errors       int64   `json:"errors"`
	WrittenBytes int64   `json:"writtenBytes"`
}

type load struct {
	clients []*clientv3.Client
	work    string
	keys    int
	size    int
	scan    int
	at      int64
	noise   string
	// What each caller wrote last to the key that is its own.
	known []string
}

var errMissing = errors.New("a key that was filled is not there")

func main() {
	endpoints := flag.String("endpoints", "127.0.0.1:2379", "comma separated")
	work := flag.String("work", "put", "put, get, stale, mixed, cas, scan, at; unary- in front changes nothing here")
	callers := flag.Int("callers", 64, "concurrent callers")
	connections := flag.Int("connections", 8, "client connections")
	seconds := flag.Float64("seconds", 5, "measured seconds")
	warmup := flag.Float64("warmup", 1, "seconds before, not counted")
	keys := flag.Int("keys", 100_000, "distinct keys")
	size := flag.Int("size", 256, "bytes a value")
	scan := flag.Int("scan", 100, "keys a scan")
	at := flag.String("at", "0", "revision that the work `at` reads")
	isFill := flag.String("fill", "", "true: write every key once, and print the revision after it")
	flag.Parse()

	revision, err := strconv.ParseInt(*at, 10, 64)
	if err != nil {
		fail(err)
	}
	noise := make([]byte, noiseBytes+*size)
	if _, err := crand.Read(noise); err != nil {
		fail(err)
	}
	l := &load{
		clients: make([]*clientv3.Client, *connections),
		work:    strings.TrimPrefix(*work, "unary-"),
		keys:    *keys,
		size:    *size,
		scan:    *scan,
		at:      revision,
		noise:   string(noise),
		known:   make([]string, *callers),
	}
	all := strings.Split(*endpoints, ",")
	for i := range l.clients {
		// Each connection is to another server, as a balanced set of clients would be.
		config := clientv3.Config{Endpoints: []string{all[i%len(all)]}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()}
		client, err := clientv3.New(config)
		if err != nil {
			fail(err)
		}
		defer client.Close()
		l.clients[i] = client
	}
	if *isFill == "true" {
		l.fill(*callers)
	} else {
		l.measure(*callers, *seconds, *warmup)
	}
}

func (l *load) key(n int) string { return fmt.Sprintf("bench%d/%08d", l.size, n) }
func (l *load) anyKey() string   { return l.key(rand.IntN(l.keys)) }

// Cut at random places: values that neither compress nor repeat, and cost nothing to make.
func (l *load) value() string {
	from := rand.IntN(noiseBytes)
	return l.noise[from : from+l.size]
}

// One operation; returns the bytes of keys and values that it wrote.
func (l *load) operate(ctx context.Context, caller int) (int, error) {
	client := l.clients[caller%len(l.clients)]
	switch l.work {
	case "put":
		return l.put(ctx, client)
	case "get":
		return l.get(ctx, client)
	case "stale":
		return l.get(ctx, client, clientv3.WithSerializable())
	case "at":
		return l.get(ctx, client, clientv3.WithRev(l.at))
	case "mixed":
		if rand.IntN(10) == 0 {
			return l.put(ctx, client)
		}
		return l.get(ctx, client)
	case "cas":
		return l.compareAndSet(ctx, client, caller)
	case "scan":
		first := rand.IntN(l.keys - l.scan)
		found, err := client.Get(ctx, l.key(first), clientv3.WithRange(l.key(first+l.scan)))
		if err == nil && len(found.Kvs) != l.scan {
			err = fmt.Errorf("a scan of %d keys gave %d", l.scan, len(found.Kvs))
		}
		return 0, err
	}
	return 0, fmt.Errorf("no such work: %s", l.work)
}

func (l *load) put(ctx context.Context, client *clientv3.Client) (int, error) {
	key := l.anyKey()
	_, err := client.Put(ctx, key, l.value())
	return len(key) + l.size, err
}

func (l *load) get(ctx context.Context, client *clientv3.Client, options ...clientv3.OpOption) (int, error) {
	found, err := client.Get(ctx, l.anyKey(), options...)
	if err == nil && (len(found.Kvs) != 1 || len(found.Kvs[0].Value) != l.size) {
		err = errMissing
	}
	return 0, err
}

func (l *load) compareAndSet(ctx context.Context, client *clientv3.Client, caller int) (int, error) {
	key, next := fmt.Sprintf("bench-cas/%d", caller), l.value()
	var err error
	if expected := l.known[caller]; expected == "" {
		_, err = client.Put(ctx, key, next)
	} else {
		var done *clientv3.TxnResponse
		done, err = client.Txn(ctx).
			If(clientv3.Compare(clientv3.Value(key), "=", expected)).
			Then(clientv3.OpPut(key, next)).
			Commit()
		if err == nil && !done.Succeeded {
			err = fmt.Errorf("%s was changed by somebody else", key)
		}
	}
	if err == nil {
		l.known[caller] = next
	}
	return len(key) + l.size, err
}

func (l *load) measure(callers int, seconds, warmup float64) {
	begin := time.Now().Add(time.Duration(warmup * float64(time.Second)))
	end := begin.Add(time.Duration(seconds * float64(time.Second)))
	latencies := make([][]float64, callers)
	var failures, written atomic.Int64
	var lastFailure atomic.Value
	var begun, ended sync.Once
	var succeeding sync.Mutex
	last, gap := begin, time.Duration(0)
	var group sync.WaitGroup
	for caller := range callers {
		group.Add(1)
		go func() {
			defer group.Done()
			for started := time.Now(); started.Before(end); {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				wrote, err := l.operate(ctx, caller)
				cancel()
				now := time.Now()
				if now.After(begin) {
					begun.Do(func() { fmt.Println("begin") })
				}
				if now.After(end) {
					ended.Do(func() { fmt.Println("end") })
				}
				if err != nil {
					failures.Add(1)
					lastFailure.Store(err.Error())
				} else if now.After(begin) && now.Before(end) {
					latencies[caller] = append(latencies[caller], float64(now.Sub(started).Microseconds())/1000)
					written.Add(int64(wrote))
					succeeding.Lock()
					gap = max(gap, now.Sub(last))
					last = now
					succeeding.Unlock()
				}
				started = now
			}
		}()
	}
	group.Wait()
	all := slices.Concat(latencies...)
	slices.Sort(all)
	if len(all) == 0 {
		fail(fmt.Errorf("no operation succeeded, %d failed: %v", failures.Load(), lastFailure.Load()))
	}
	if failures.Load() > 0 {
		fmt.Fprintf(os.Stderr, "%d operations failed, the last: %v\n", failures.Load(), lastFailure.Load())
	}
	quantile := func(part float64) float64 { return all[int(part*float64(len(all)-1))] }
	print(result{
		PerSecond:    float64(len(all)) / seconds,
		P50Ms:        quantile(0.5),
		P99Ms:        quantile(0.99),
		P999Ms:       quantile(0.999),
		GapMs:        float64(gap.Microseconds()) / 1000,
		Errors:       failures.Load(),
		WrittenBytes: written.Load(),
	})
}

func (l *load) fill(callers int) {
	var next, newest atomic.Int64
	var group sync.WaitGroup
	for worker := range callers {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				n := int(next.Add(1)) - 1
				if n >= l.keys {
					return
				}
				done, err := l.clients[worker%len(l.clients)].Put(context.Background(), l.key(n), l.value())
				if err != nil {
					fail(err)
				}
				for {
					known := newest.Load()
					if done.Header.Revision <= known || newest.CompareAndSwap(known, done.Header.Revision) {
						break
					}
				}
			}
		}()
	}
	group.Wait()
	print(map[string]string{"at": strconv.FormatInt(newest.Load(), 10)})
}

func print(out any) {
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
