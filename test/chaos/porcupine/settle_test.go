package main

// settle.go against Porcupine alone, on small random histories of every model, right and wrong, full of unknown outcomes:
// with and without the rules the verdict must be the same.

import (
	"fmt"
	"math/rand"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

const historiesPerModel = 3000

func TestSettlingChangesNoVerdict(t *testing.T) {
	for _, name := range []string{"register", "set", "queue"} {
		verdicts := map[bool]int{}
		settled := 0
		for seed := range int64(historiesPerModel) {
			part := randomPartition(name, rand.New(rand.NewSource(seed)))
			asIs := closed(part.operations)
			want := porcupine.CheckOperations(models[name], asIs)
			described := describeAll(asIs)
			part.settle()
			after := closed(part.operations)
			if describeAll(after) != described {
				settled++
			}
			if got := porcupine.CheckOperations(models[name], after); got != want {
				t.Fatalf("%s, seed %d: %t became %t\n%s\nsettled:\n%s", name, seed, want, got, described, describeAll(after))
			}
			verdicts[want]++
		}
		t.Logf("%s: %d linearizable, %d not; %d had something to settle", name, verdicts[true], verdicts[false], settled)
		if min(verdicts[true], verdicts[false], settled) < historiesPerModel/10 {
			t.Errorf("%s: the histories are too much alike: %v, %d settled", name, verdicts, settled)
		}
	}
}

func closed(operations []porcupine.Operation) []porcupine.Operation {
	result := slices.Clone(operations)
	for i := range result {
		result[i].Return = min(result[i].Return, 1_000_000)
	}
	return result
}

func describeAll(operations []porcupine.Operation) string {
	var text strings.Builder
	for _, o := range operations {
		fmt.Fprintf(&text, "%d..%d %s\n", o.Call, o.Return, describeOperation(o.Input.(input), o.Output.(output)))
	}
	return text.String()
}

// randomPartition lets each operation take effect at a moment of its own, the unknown ones at any later one or never, and
// then spoils an answer or two of every second history.
func randomPartition(name string, random *rand.Rand) *partition {
	count := 4 + random.Intn(8)
	operations := make([]porcupine.Operation, count)
	order := make([]int, count)
	moments := make([]int64, count)
	for i := range operations {
		call := int64(random.Intn(100))
		operations[i] = porcupine.Operation{ClientId: i, Call: call, Return: call + int64(random.Intn(40))}
		moments[i] = call + int64(random.Intn(int(operations[i].Return-call)+1))
		order[i] = i
	}
	unknown := make([]bool, count)
	for i := range operations {
		if unknown[i] = random.Intn(3) == 0; unknown[i] {
			operations[i].Return = open
			moments[i] += int64(random.Intn(60))
		}
	}
	sort.SliceStable(order, func(a, b int) bool { return moments[order[a]] < moments[order[b]] })
	var items []string // of a register: none or one
	for _, i := range order {
		o := &operations[i]
		in, out, next := randomStep(name, fmt.Sprintf("v%d", i), items, unknown[i], random)
		if !in.unknown && o.Return == open {
			o.Return = moments[i]
		}
		if !in.unknown || random.Intn(2) == 0 {
			items = next
		}
		o.Input, o.Output = in, out
	}
	if random.Intn(2) == 0 {
		for range 1 + random.Intn(2) {
			spoil(&operations[random.Intn(count)], count, random)
		}
	}
	return &partition{model: name, operations: operations}
}

func randomStep(name, value string, items []string, unknown bool, random *rand.Rand) (input, output, []string) {
	head, tail := (*string)(nil), ""
	if len(items) > 0 {
		first := items[0]
		head, tail = &first, items[len(items)-1]
	}
	draw := random.Intn(10)
	switch name {
	case "set":
		if draw < 6 {
			return input{kind: "add", value: value, unknown: unknown}, output{}, append(slices.Clone(items), value)
		}
		return input{kind: "read"}, output{values: items}, items
	case "queue":
		if draw < 5 {
			out := output{}
			if draw < 3 {
				out.after = &tail
			}
			return input{kind: "enqueue", value: value, unknown: unknown}, out, append(slices.Clone(items), value)
		}
		if head == nil {
			return input{kind: "dequeue"}, output{}, items
		}
		return input{kind: "dequeue", unknown: unknown}, output{value: head}, slices.Clone(items[1:])
	}
	switch {
	case draw < 4:
		return input{kind: "get"}, output{value: head}, items
	case draw < 7:
		return input{kind: "put", value: value, unknown: unknown}, output{}, []string{value}
	case draw < 8:
		return input{kind: "delete", unknown: unknown}, output{deleted: head != nil}, nil
	case draw < 9:
		return input{kind: "cas", expected: head, value: value, unknown: unknown}, output{swapped: true}, []string{value}
	}
	other := "none"
	return input{kind: "cas", expected: &other, value: value}, output{}, items
}

func spoil(operation *porcupine.Operation, count int, random *rand.Rand) {
	in, out := operation.Input.(input), operation.Output.(output)
	other := fmt.Sprintf("v%d", random.Intn(count))
	switch in.kind {
	case "get", "dequeue":
		out.value = &other
	case "read":
		out.values = append(slices.Clone(out.values), other)
	case "enqueue":
		out.after = &other
	case "delete":
		out.deleted = !out.deleted
	case "cas":
		out.swapped = !out.swapped
	}
	operation.Output = out
}
