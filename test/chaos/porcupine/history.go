package main

// Reads a history (test/chaos/history.ts writes it), refuses what no recorder would write, and prepares each key for
// Porcupine: failed operations go, unknown ones stay open.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/anishathalye/porcupine"
)

const lineBytesMax = 16 << 20

type line struct {
	Process *int64 `json:"process"`
	Model   string `json:"model"`
	Key     string `json:"key"`
	Kind    string `json:"kind"`
	Input   struct {
		Value    *string `json:"value"`
		Expected *string `json:"expected"`
	} `json:"input"`
	Output struct {
		Value   *string   `json:"value"`
		Values  *[]string `json:"values"`
		After   *string   `json:"after"`
		Deleted *bool     `json:"deleted"`
		Swapped *bool     `json:"swapped"`
	} `json:"output"`
	Outcome string `json:"outcome"`
	Invoke  *int64 `json:"invoke"`
	Return  *int64 `json:"return"`
	// The last line has this alone: how many operations came before it.
	End *int `json:"end"`
}

type partition struct {
	model      string
	key        string
	operations []porcupine.Operation
	clients    map[int64]int
	written    map[string]bool
}

type history struct {
	partitions []partition
	operations int
	outcomes   map[string]int
}

func readHistory(path string) (*history, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader := historyReader{parts: map[string]*partition{}, outcomes: map[string]int{"ok": 0, "fail": 0, "info": 0}, last: map[int64]int64{}}
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 1<<20), lineBytesMax)
	for lines.Scan() {
		if err := reader.take(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, reader.lines+1, err)
		}
		reader.lines++
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !reader.ended {
		return nil, fmt.Errorf("%s: the history is cut short: it has no last line that counts its operations", path)
	}
	read := reader.finish()
	if len(read.partitions) == 0 {
		return nil, fmt.Errorf("%s: none of its %d operations took effect, so there is nothing to check", path, read.operations)
	}
	return read, nil
}

type historyReader struct {
	parts      map[string]*partition
	order      []*partition
	outcomes   map[string]int
	last       map[int64]int64 // by process: when its last operation returned
	latest     int64
	lines      int
	operations int
	ended      bool
}

func (r *historyReader) take(bytes []byte) error {
	if r.ended {
		return errors.New("a line follows the last one")
	}
	var l line
	if err := json.Unmarshal(bytes, &l); err != nil {
		return err
	}
	if l.End != nil {
		if *l.End != r.operations {
			return fmt.Errorf("%d operations were written and %d are here", *l.End, r.operations)
		}
		r.ended = true
		return nil
	}
	if err := r.checkTimes(l); err != nil {
		return err
	}
	if err := checkShape(l); err != nil {
		return err
	}
	r.operations++
	r.outcomes[l.Outcome]++
	return r.partitionOf(l).add(l)
}

// A process does one thing at a time, and nothing after an outcome that it does not know.
func (r *historyReader) checkTimes(l line) error {
	if l.Process == nil || l.Invoke == nil || *l.Invoke < 0 {
		return errors.New("an operation needs a process and an invoke time")
	}
	if (l.Outcome == "info") != (l.Return == nil) {
		return errors.New("`return` is null for an unknown outcome, and only then")
	}
	returned := open
	if l.Return != nil {
		returned = *l.Return
		r.latest = max(r.latest, returned)
	}
	r.latest = max(r.latest, *l.Invoke)
	if returned < *l.Invoke {
		return errors.New("it returned before it was invoked")
	}
	if before, ok := r.last[*l.Process]; ok && *l.Invoke < before {
		return fmt.Errorf("process %d was still at another operation, or ended with an unknown one", *l.Process)
	}
	r.last[*l.Process] = returned
	return nil
}

func checkShape(l line) error {
	isOk, isUnknown := l.Outcome == "ok", l.Outcome == "info"
	if !isOk && !isUnknown && l.Outcome != "fail" {
		return fmt.Errorf("no outcome is called %q", l.Outcome)
	}
	needs := func(conditions ...bool) error {
		for _, holds := range conditions {
			if !holds {
				return fmt.Errorf("an operation %s.%s with outcome %s lacks a field, or has a bad one", l.Model, l.Kind, l.Outcome)
			}
		}
		return nil
	}
	hasValue := l.Input.Value != nil && *l.Input.Value != "" && !strings.Contains(*l.Input.Value, separator)
	switch l.Model + "." + l.Kind {
	case "register.get":
		return needs(!isUnknown, !isOk || l.Output.Value == nil || *l.Output.Value != "")
	case "register.put", "set.add", "queue.enqueue":
		return needs(hasValue)
	case "register.delete":
		return needs(!isOk || l.Output.Deleted != nil)
	case "register.cas":
		return needs(hasValue, !isOk || l.Output.Swapped != nil)
	case "set.read":
		joins := l.Output.Values != nil && strings.Contains(strings.Join(*l.Output.Values, ""), separator)
		return needs(!isUnknown, !isOk || l.Output.Values != nil, !joins)
	case "queue.dequeue":
		return needs(!isUnknown || l.Output.Value != nil)
	}
	return fmt.Errorf("no operation is called %q of a %q", l.Kind, l.Model)
}

func (r *historyReader) partitionOf(l line) *partition {
	name := l.Model + " " + l.Key
	part := r.parts[name]
	if part == nil {
		part = &partition{
			model:   l.Model,
			key:     l.Key,
			clients: map[int64]int{},
			written: map[string]bool{},
		}
		r.parts[name] = part
		r.order = append(r.order, part)
	}
	return part
}

func (p *partition) add(l line) error {
	if l.Input.Value != nil {
		value := *l.Input.Value
		if p.written[value] {
			return fmt.Errorf("%q is written twice at %q: values must be unique", value, l.Key)
		}
		p.written[value] = true
	}
	if l.Outcome == "fail" {
		return nil
	}
	client, ok := p.clients[*l.Process]
	if !ok {
		client = len(p.clients)
		p.clients[*l.Process] = client
	}
	in := input{kind: l.Kind, expected: l.Input.Expected, unknown: l.Outcome == "info"}
	if l.Input.Value != nil {
		in.value = *l.Input.Value
	}
	out := output{value: l.Output.Value, after: l.Output.After}
	if l.Output.Values != nil {
		out.values = *l.Output.Values
	}
	out.deleted = l.Output.Deleted != nil && *l.Output.Deleted
	out.swapped = l.Output.Swapped != nil && *l.Output.Swapped
	returned := open
	if l.Return != nil {
		returned = *l.Return
	}
	p.operations = append(p.operations, porcupine.Operation{
		ClientId: client, Input: in, Call: *l.Invoke, Output: out, Return: returned,
	})
	return nil
}

// finish closes what stays open at the end of the history.
func (r *historyReader) finish() *history {
	read := &history{operations: r.operations, outcomes: r.outcomes}
	for _, part := range r.order {
		part.settle()
		for i := range part.operations {
			part.operations[i].Return = min(part.operations[i].Return, r.latest+1)
		}
		if len(part.operations) > 0 {
			read.partitions = append(read.partitions, *part)
		}
	}
	return read
}
