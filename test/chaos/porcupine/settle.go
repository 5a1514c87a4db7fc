package main

// Unknown operations are what makes a history hard: each may take effect at any later moment, and the search doubles with
// each. But values are written once, so what others saw tells of most of them whether, and by when, they took effect. Every
// rule here keeps a history linearizable if it was, and not if it was not.

import (
	"math"

	"github.com/anishathalye/porcupine"
)

const open = int64(math.MaxInt64)

// settle bounds the unknown operations that took effect, drops those without which nothing would be different, and leaves
// the others open.
func (p *partition) settle() {
	if p.model == "queue" {
		p.dropIdleDequeues()
	}
	seen, mentioned := p.bound()
	kept := p.operations[:0]
	for _, operation := range p.operations {
		in := operation.Input.(input)
		_, isSeen := seen[in.value]
		if in.unknown && in.value != "" && !isSeen && !mentioned[in.value] && !p.mayExplain(operation) {
			// Nobody saw the value, so it may as well have come after everything.
			continue
		}
		kept = append(kept, operation)
	}
	p.operations = kept
}

// bound: an unknown write whose value was seen took effect before whoever saw it first returned, and then saw what it
// names by that time, too.
func (p *partition) bound() (seen map[string]int64, mentioned map[string]bool) {
	seen, mentioned = map[string]int64{}, map[string]bool{}
	for changed := true; changed; {
		changed = false
		for _, operation := range p.operations {
			for _, value := range valuesNamed(operation) {
				mentioned[value] = true
				if earliest, ok := seen[value]; operation.Return != open && (!ok || operation.Return < earliest) {
					seen[value] = operation.Return
					changed = true
				}
			}
		}
		for i := range p.operations {
			operation := &p.operations[i]
			in := operation.Input.(input)
			if !in.unknown {
				continue
			}
			before, ok := seen[in.value]
			if in.kind == "dequeue" {
				before, ok = p.removedBefore(operation)
			}
			if ok && max(operation.Call, before) < operation.Return {
				operation.Return = max(operation.Call, before)
				changed = true
			}
		}
	}
	return seen, mentioned
}

func valuesNamed(operation porcupine.Operation) []string {
	in, out := operation.Input.(input), operation.Output.(output)
	switch {
	case in.kind == "read":
		return out.values
	case in.kind == "enqueue" && out.after != nil && *out.after != "":
		return []string{*out.after}
	case out.value != nil:
		return []string{*out.value}
	case in.kind == "cas" && in.expected != nil && (out.swapped || in.unknown):
		return []string{*in.expected}
	}
	return nil
}

// mayExplain: a register's unseen value may still be why a compare failed, or why a delete found something.
func (p *partition) mayExplain(write porcupine.Operation) bool {
	if p.model != "register" {
		return false
	}
	for _, operation := range p.operations {
		in, out := operation.Input.(input), operation.Output.(output)
		explained := (in.kind == "cas" && !out.swapped) || (in.kind == "delete" && out.deleted)
		if explained && !in.unknown && operation.Return >= write.Call {
			return true
		}
	}
	return false
}

// dropIdleDequeues: a value is taken once. An unknown dequeue of what another took did nothing; of several unknown ones
// that tried to take the same value, the earliest can stand for whichever did.
func (p *partition) dropIdleDequeues() {
	earliest := map[string]int64{}
	taken := map[string]bool{}
	for _, operation := range p.operations {
		in, out := operation.Input.(input), operation.Output.(output)
		if in.kind != "dequeue" || out.value == nil {
			continue
		}
		if !in.unknown {
			taken[*out.value] = true
		} else if call, ok := earliest[*out.value]; !ok || operation.Call < call {
			earliest[*out.value] = operation.Call
		}
	}
	kept := p.operations[:0]
	for _, operation := range p.operations {
		in, out := operation.Input.(input), operation.Output.(output)
		if in.kind == "dequeue" && in.unknown {
			if taken[*out.value] || operation.Call != earliest[*out.value] {
				continue
			}
			earliest[*out.value] = -1
		}
		kept = append(kept, operation)
	}
	p.operations = kept
}

// removedBefore: nobody else took the value, so when the queue was found empty after the value had come, or a value that
// had come later was taken, the unknown dequeue had taken effect.
func (p *partition) removedBefore(dequeue *porcupine.Operation) (int64, bool) {
	came, calls := map[string]int64{}, map[string]int64{}
	for _, operation := range p.operations {
		if in := operation.Input.(input); in.kind == "enqueue" {
			came[in.value], calls[in.value] = operation.Return, operation.Call
		}
	}
	here, ok := came[*dequeue.Output.(output).value]
	if !ok {
		return 0, false
	}
	before := open
	for _, operation := range p.operations {
		in, out := operation.Input.(input), operation.Output.(output)
		if in.kind != "dequeue" || in.unknown {
			continue
		}
		isLater := out.value == nil && operation.Call > here
		if out.value != nil {
			call, ok := calls[*out.value]
			isLater = ok && call > here
		}
		if isLater {
			before = min(before, operation.Return)
		}
	}
	return before, before != open
}
