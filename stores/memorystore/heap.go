package memorystore

// order is what a heap sorts by.
type order uint8

const (
	byExpiry order = iota
	byAccess
)

func (e *entry) time(of order) int64 {
	if of == byExpiry {
		return e.expires
	}
	return e.access
}

// absent is the place of an entry that is not in a heap.
const absent = -1

// heap finds the entry with the earliest time. It is lazy: a key is never
// later than its entry's time, but may be earlier, because times move forward
// with every request and the heap is not told. Whoever wants the first entry
// sets keys right until the first one is; each move forward is paid for at
// most once, and mostly never.
//
// It has four children to a node, which halves the depth and with it how many
// entries are written to for their new place.
type heap struct {
	slots []slot
	of    order
}

type slot struct {
	key   int64
	entry *entry
}

// push adds an entry.
func (h *heap) push(e *entry) {
	e.at[h.of] = int32(len(h.slots))
	h.slots = append(h.slots, slot{e.time(h.of), e})
	h.up(len(h.slots) - 1)
}

// remove takes an entry out.
func (h *heap) remove(e *entry) {
	i, last := int(e.at[h.of]), len(h.slots)-1
	e.at[h.of] = absent
	moved := h.slots[last]
	h.slots[last] = slot{}
	h.slots = h.slots[:last]
	if i < last {
		h.put(i, moved)
		h.up(i)
		h.down(i)
	}
	if n := cap(h.slots); n > 64 && last < n/4 {
		h.slots = append(make([]slot, 0, n/2), h.slots...)
	}
}

// earlier is to be called when an entry's time may have moved back.
func (h *heap) earlier(e *entry) {
	i := int(e.at[h.of])
	if t := e.time(h.of); t < h.slots[i].key {
		h.slots[i].key = t
		h.up(i)
	}
}

// first returns the entry with the earliest time, nil if the heap is empty. If
// ok is false, it set one key right instead: ask again.
func (h *heap) first() (e *entry, ok bool) {
	if len(h.slots) == 0 {
		return nil, true
	}
	top := &h.slots[0]
	if t := top.entry.time(h.of); t > top.key {
		top.key = t
		h.down(0)
		return nil, false
	}
	return top.entry, true
}

// bound is a time that no entry's is before.
func (h *heap) bound() int64 {
	if len(h.slots) == 0 {
		return never
	}
	return h.slots[0].key
}

// before appends the entries whose keys are before a time, among them all
// whose times are.
func (h *heap) before(t int64, to []*entry) []*entry { return h.collect(0, t, to) }

func (h *heap) collect(i int, t int64, to []*entry) []*entry {
	if i >= len(h.slots) || h.slots[i].key >= t {
		return to
	}
	to = append(to, h.slots[i].entry)
	for child := 4*i + 1; child <= 4*i+4; child++ {
		to = h.collect(child, t, to)
	}
	return to
}

func (h *heap) put(i int, s slot) {
	h.slots[i] = s
	s.entry.at[h.of] = int32(i)
}

func (h *heap) up(i int) {
	s := h.slots[i]
	for i > 0 {
		parent := (i - 1) / 4
		if h.slots[parent].key <= s.key {
			break
		}
		h.put(i, h.slots[parent])
		i = parent
	}
	h.put(i, s)
}

func (h *heap) down(i int) {
	s := h.slots[i]
	for {
		child := 4*i + 1
		if child >= len(h.slots) {
			break
		}
		for other := child + 1; other < min(4*i+5, len(h.slots)); other++ {
			if h.slots[other].key < h.slots[child].key {
				child = other
			}
		}
		if h.slots[child].key >= s.key {
			break
		}
		h.put(i, h.slots[child])
		i = child
	}
	h.put(i, s)
}
