// Checks one history for linearizability with Porcupine, key by key, and prints a verdict as one line of JSON.
//
// Exit codes: 0 every partition is linearizable, 1 some partition is not, 2 some partition could not be decided in time, or
// the history is broken (then with a message on stderr and no verdict).
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// badListed bounds what a verdict lists and what is drawn.
const badListed = 5

type badPartition struct {
	Model         string `json:"model"`
	Key           string `json:"key"`
	Verdict       string `json:"verdict"`
	Operations    int    `json:"operations"`
	ElapsedMs     int64  `json:"elapsedMs"`
	Visualisation string `json:"visualisation,omitempty"`
}

type verdict struct {
	Verdict          string         `json:"verdict"`
	Operations       int            `json:"operations"`
	Outcomes         map[string]int `json:"outcomes"`
	Partitions       int            `json:"partitions"`
	LargestPartition int            `json:"largestPartition"`
	SlowestMs        int64          `json:"slowestMs"`
	ElapsedMs        int64          `json:"elapsedMs"`
	Bad              []badPartition `json:"bad"`
}

type decided struct {
	result  porcupine.CheckResult
	elapsed time.Duration
}

func main() {
	partitionLimit := flag.Duration("partition-limit", time.Minute, "time for one partition")
	limit := flag.Duration("limit", 10*time.Minute, "time for everything")
	flag.Parse()
	if flag.NArg() != 1 {
		broken("usage: check [-partition-limit=1m] [-limit=10m] HISTORY")
	}
	path := flag.Arg(0)
	start := time.Now()
	read, err := readHistory(path)
	if err != nil {
		broken(err.Error())
	}
	results := decideAll(read.partitions, *partitionLimit, start.Add(*limit))
	report := verdict{
		Verdict:    "ok",
		Operations: read.operations,
		Outcomes:   read.outcomes,
		Partitions: len(read.partitions),
		Bad:        []badPartition{},
	}
	for i, part := range read.partitions {
		report.LargestPartition = max(report.LargestPartition, len(part.operations))
		report.SlowestMs = max(report.SlowestMs, results[i].elapsed.Milliseconds())
		switch results[i].result {
		case porcupine.Ok:
			continue
		case porcupine.Illegal:
			report.Verdict = "illegal"
		default:
			if report.Verdict == "ok" {
				report.Verdict = "unknown"
			}
		}
		report.Bad = append(report.Bad, describe(part, results[i]))
	}
	// What is proven wrong comes before what was not decided.
	sort.SliceStable(report.Bad, func(i, j int) bool { return report.Bad[i].Verdict < report.Bad[j].Verdict })
	report.Bad = report.Bad[:min(len(report.Bad), badListed)]
	for i := range report.Bad {
		draw(path, read.partitions, &report.Bad[i], *partitionLimit)
	}
	report.ElapsedMs = time.Since(start).Milliseconds()
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		broken(err.Error())
	}
	switch report.Verdict {
	case "illegal":
		os.Exit(1)
	case "unknown":
		os.Exit(2)
	}
}

func broken(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}

// decideAll never waits past the deadline: what was not decided by then is unknown.
func decideAll(partitions []partition, partitionLimit time.Duration, deadline time.Time) []decided {
	results := make([]decided, len(partitions))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range next {
				results[i] = decide(partitions[i], min(partitionLimit, time.Until(deadline)))
			}
		}()
	}
	for i := range partitions {
		next <- i
	}
	close(next)
	workers.Wait()
	return results
}

func decide(part partition, limit time.Duration) decided {
	// Porcupine takes zero for "no limit".
	if limit <= 0 {
		return decided{porcupine.Unknown, 0}
	}
	start := time.Now()
	result := porcupine.CheckOperationsTimeout(models[part.model], part.operations, limit)
	return decided{result, time.Since(start)}
}

func describe(part partition, result decided) badPartition {
	bad := badPartition{Model: part.model, Key: part.key, Verdict: "unknown", Operations: len(part.operations)}
	if result.result == porcupine.Illegal {
		bad.Verdict = "illegal"
	}
	bad.ElapsedMs = result.elapsed.Milliseconds()
	return bad
}

var unfitForFileNames = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// draw leaves Porcupine's picture of an illegal partition beside the history; without it the verdict is the same.
func draw(path string, partitions []partition, bad *badPartition, limit time.Duration) {
	if bad.Verdict != "illegal" {
		return
	}
	for _, part := range partitions {
		if part.model != bad.Model || part.key != bad.Key {
			continue
		}
		_, info := porcupine.CheckOperationsVerbose(models[part.model], part.operations, limit)
		file := fmt.Sprintf("%s.%s-%s.html", path, bad.Model, unfitForFileNames.ReplaceAllString(bad.Key, "_"))
		if err := porcupine.VisualizePath(models[part.model], info, file); err != nil {
			fmt.Fprintf(os.Stderr, "no picture of %s: %v\n", bad.Key, err)
			return
		}
		bad.Visualisation = file
	}
}
