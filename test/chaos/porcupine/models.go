package main

// What a register, a set and a queue are, one operation after another. All three are deterministic, unknown operations
// included: such an operation stays open to the end of the history, so "it never took effect" is the same as "it took
// effect after everything else", and where it takes effect, its effect is certain.

import (
	"fmt"
	"sort"
	"strings"

	"github.com/anishathalye/porcupine"
)

// input is what was asked, output what was answered; both as the history has them.
type input struct {
	kind     string
	value    string
	expected *string
	unknown  bool
}

type output struct {
	value  *string
	values []string
	// An enqueue's: the value before it, empty for the head; nil when the client did not say.
	after   *string
	deleted bool
	swapped bool
}

var models = map[string]porcupine.Model{
	"register": model(registerState{}, stepRegister),
	"set":      model(setState(""), stepSet),
	"queue":    model(queueState(""), stepQueue),
}

// Elements are joined to one string, so that states compare by ==; readHistory refuses values that contain this.
const separator = "\n"

type registerState struct {
	present bool
	value   string
}

func stepRegister(state registerState, in input, out output) (bool, registerState) {
	switch in.kind {
	case "get":
		if out.value == nil {
			return !state.present, state
		}
		return state.present && state.value == *out.value, state
	case "put":
		return true, registerState{true, in.value}
	case "delete":
		return in.unknown || out.deleted == state.present, registerState{}
	case "cas":
		matches := !state.present
		if in.expected != nil {
			matches = state.present && state.value == *in.expected
		}
		if !in.unknown && out.swapped != matches {
			return false, state
		}
		if matches {
			return true, registerState{true, in.value}
		}
		return true, state
	}
	panic("a register has no " + in.kind)
}

// setState is sorted.
type setState string

func stepSet(state setState, in input, out output) (bool, setState) {
	switch in.kind {
	case "add":
		return true, setState(joinSorted(append(split(string(state)), in.value)))
	case "read":
		return joinSorted(append([]string{}, out.values...)) == string(state), state
	}
	panic("a set has no " + in.kind)
}

// queueState has its head first.
type queueState string

func stepQueue(state queueState, in input, out output) (bool, queueState) {
	items := split(string(state))
	switch in.kind {
	case "enqueue":
		tail := ""
		if len(items) > 0 {
			tail = items[len(items)-1]
		}
		if out.after != nil && *out.after != tail {
			return in.unknown, state
		}
		return true, queueState(strings.Join(append(items, in.value), separator))
	case "dequeue":
		if out.value == nil {
			return len(items) == 0, state
		}
		isHead := len(items) > 0 && items[0] == *out.value
		if isHead {
			return true, queueState(strings.Join(items[1:], separator))
		}
		// An unknown one tried to take this value and no other: with another head it takes nothing.
		return in.unknown, state
	}
	panic("a queue has no " + in.kind)
}

func split(state string) []string {
	if state == "" {
		return nil
	}
	return strings.Split(state, separator)
}

func joinSorted(items []string) string {
	sort.Strings(items)
	return strings.Join(items, separator)
}

func model[State comparable](initial State, step func(State, input, output) (bool, State)) porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return initial },
		Step: func(state, in, out interface{}) (bool, interface{}) {
			return step(state.(State), in.(input), out.(output))
		},
		Equal:             func(a, b interface{}) bool { return a.(State) == b.(State) },
		DescribeOperation: func(in, out interface{}) string { return describeOperation(in.(input), out.(output)) },
		DescribeState:     func(state interface{}) string { return fmt.Sprintf("%+v", state) },
	}
}

func describeOperation(in input, out output) string {
	asked := fmt.Sprintf("%s(%s)", in.kind, in.value)
	if in.kind == "cas" {
		asked = fmt.Sprintf("cas(%s→%s)", orAbsent(in.expected), in.value)
	}
	switch {
	case in.unknown:
		return asked + " → ?"
	case in.kind == "get" || in.kind == "dequeue":
		return asked + " → " + orAbsent(out.value)
	case in.kind == "read":
		return asked + " → " + strings.Join(out.values, " ")
	case in.kind == "delete":
		return fmt.Sprintf("%s → %t", asked, out.deleted)
	case in.kind == "cas":
		return fmt.Sprintf("%s → %t", asked, out.swapped)
	}
	return asked
}

func orAbsent(value *string) string {
	if value == nil {
		return "∅"
	}
	return *value
}
