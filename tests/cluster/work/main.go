// Command work is a service under steady load, and the faults that a test switches on in one pod of it.
//
//	work                     serve on :8080 and call the peers, as the environment says
//	work get URL             ask once, and say the answer's status
//	work batch SECONDS       compute for so long and end well, as a job does
//	work fault KIND SECONDS  switch a fault on in the work that runs beside it; it ends by itself,
//	                         or with the KIND none
//
// Environment: PEER (URL called RATE times a second), RATE, REPLY_BYTES and BURN_MICROSECONDS (the answer to one call
// and the CPU it costs), HOLD_MIB (memory held), SINK (host:port) and SINK_BYTES (sent there each second by UDP),
// LISTEN_UDP (address where packets are taken and dropped), BATCH_SECONDS (computed every 100 s), IGNORE_SIGTERM (if set,
// only a kill ends it).
package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	address = ":8080"
	// A fault that outlives its container (a crash) leaves its end here, in an emptyDir.
	marker = "/state/crash-until"
	// No fault lasts longer, whatever was asked for.
	longest = 10 * time.Minute
	// A leak stops here, even in a pod without a limit.
	mostLeaked = 512 << 20
	// What a slow leak has taken when it stops: it shows, and reaches no limit.
	slowlyLeaked = 64 << 20
	scratch      = "/state/scratch"
	batchEvery   = 100 * time.Second
)

var (
	// When the fault ends, in nanoseconds of Unix time; a new fault takes the place of the one before.
	faultEnd atomic.Int64
	// What the fault is, as long as it lasts.
	faultKind atomic.Value
	held      [][]byte
)

func main() {
	switch {
	case len(os.Args) == 4 && os.Args[1] == "fault":
		get("http://127.0.0.1" + address + "/fault?kind=" + os.Args[2] + "&seconds=" + os.Args[3])
		return
	case len(os.Args) == 3 && os.Args[1] == "get":
		get(os.Args[2])
		return
	case len(os.Args) == 3 && os.Args[1] == "batch":
		seconds, err := strconv.Atoi(os.Args[2])
		fail(err)
		batch(seconds)
		return
	}
	if os.Getenv("IGNORE_SIGTERM") != "" {
		signal.Ignore(syscall.SIGTERM)
	}
	crashIfTold()
	hold(number("HOLD_MIB", 8) << 20)
	if peer := os.Getenv("PEER"); peer != "" {
		go call(peer, number("RATE", 5))
	}
	if sink := os.Getenv("SINK"); sink != "" {
		go send(sink, number("SINK_BYTES", 20000))
	}
	if at := os.Getenv("LISTEN_UDP"); at != "" {
		go receive(at)
	}
	if seconds := number("BATCH_SECONDS", 0); seconds > 0 {
		go report(seconds)
	}
	http.HandleFunc("/", answer(number("REPLY_BYTES", 2000), number("BURN_MICROSECONDS", 500)))
	http.HandleFunc("/fault", fault)
	fail(http.ListenAndServe(address, nil))
}

func answer(size, micros int) http.HandlerFunc {
	body := make([]byte, size)
	return func(w http.ResponseWriter, _ *http.Request) {
		if suffers("unready") {
			http.Error(w, "told to be unready", http.StatusServiceUnavailable)
			return
		}
		burn(time.Duration(micros) * time.Microsecond)
		_, _ = w.Write(body)
	}
}

// call asks the peer at a rate that wanders by a fifth, as real load does.
func call(peer string, rate int) {
	client := &http.Client{Timeout: 2 * time.Second}
	for {
		time.Sleep(time.Duration(float64(time.Second) / float64(rate) * (0.8 + 0.4*rand.Float64())))
		response, err := client.Get(peer)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

// send reports to the sink ten times a second, in packets; nobody need listen there.
func send(sink string, perSecond int) {
	connection, err := net.Dial("udp", sink)
	fail(err)
	packet := make([]byte, 1000)
	for range time.Tick(100 * time.Millisecond) {
		left := int(float64(perSecond)*(0.8+0.4*rand.Float64())) / 10
		if suffers("egress") {
			left *= 10
		}
		if suffers("silence") {
			left = 0
		}
		for ; left > 0; left -= len(packet) {
			// A refusal by the sink's host is no concern of the sender.
			_, _ = connection.Write(packet[:min(left, len(packet))])
		}
	}
}

// receive takes packets for as long as it lives.
func receive(at string) {
	connection, err := net.ListenPacket("udp", at)
	fail(err)
	packet := make([]byte, 2000)
	for {
		_, _, err := connection.ReadFrom(packet)
		fail(err)
	}
}

// report computes now and then, as reports do.
func report(seconds int) {
	for range time.Tick(batchEvery) {
		batch(seconds)
	}
}

func batch(seconds int) {
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
		burn(5 * time.Millisecond)
		time.Sleep(20 * time.Millisecond)
	}
}

func fault(w http.ResponseWriter, r *http.Request) {
	seconds, _ := strconv.Atoi(r.URL.Query().Get("seconds"))
	end := time.Now().Add(min(time.Duration(seconds)*time.Second, longest))
	kind := r.URL.Query().Get("kind")
	faultKind.Store(kind)
	faultEnd.Store(end.UnixNano())
	switch kind {
	case "cpu":
		go hog()
	case "leak":
		go leak()
	case "slow-leak":
		go leakSlowly()
	case "disk":
		go write()
	case "threads":
		go threads()
	case "egress", "silence", "unready", "none":
	case "crash":
		if err := os.WriteFile(marker, []byte(end.Format(time.RFC3339)), 0o644); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		// The answer must leave first.
		time.AfterFunc(200*time.Millisecond, crashIfTold)
	default:
		http.Error(w, "no such fault: "+kind, http.StatusBadRequest)
	}
}

func faulty() bool {
	return time.Now().UnixNano() < faultEnd.Load()
}

// suffers says whether a fault of this kind lasts.
func suffers(kind string) bool {
	return faulty() && faultKind.Load() == kind
}

func hog() {
	for faulty() {
		burn(10 * time.Millisecond)
	}
}

// leak takes 2 MiB twenty times a second until the kernel or the bound stops it.
func leak() {
	for leaked := 0; leaked < mostLeaked && faulty(); leaked += 2 << 20 {
		hold(2 << 20)
		time.Sleep(50 * time.Millisecond)
	}
}

// leakSlowly takes 1 MiB twice a second, and gives it back when the fault ends.
func leakSlowly() {
	before := len(held)
	for faulty() {
		if len(held)-before < slowlyLeaked>>20 {
			hold(1 << 20)
		}
		time.Sleep(500 * time.Millisecond)
	}
	clear(held[before:])
	held = held[:before]
	debug.FreeOSMemory()
}

// write fills a file, and again, at 20 MB a second, past the page cache.
func write() {
	block := make([]byte, 2<<20)
	for faulty() {
		file, err := os.OpenFile(scratch, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_SYNC, 0o600)
		if err != nil {
			return
		}
		for i := 0; i < 20 && faulty(); i++ {
			_, _ = file.Write(block)
			time.Sleep(100 * time.Millisecond)
		}
		_ = file.Close()
	}
	_ = os.Remove(scratch)
}

// threads are 150, each of which wakes 100 times a second and does a little.
func threads() {
	for range 150 {
		go func() {
			// A thread that is locked ends with its function.
			runtime.LockOSThread()
			for faulty() {
				_ = syscall.Nanosleep(&syscall.Timespec{Nsec: 10_000_000}, nil)
			}
		}()
	}
}

func crashIfTold() {
	text, err := os.ReadFile(marker)
	if err != nil {
		return
	}
	if end, err := time.Parse(time.RFC3339, string(text)); err == nil && time.Now().Before(end) {
		fail(fmt.Errorf("told to crash until %s", end))
	}
}

func burn(duration time.Duration) {
	for end := time.Now().Add(duration); time.Now().Before(end); {
	}
}

// hold takes memory and writes to each page of it, so that it counts.
func hold(size int) {
	block := make([]byte, size)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	held = append(held, block)
}

func get(url string) {
	response, err := http.Get(url)
	fail(err)
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		fail(fmt.Errorf("%s: %s", response.Status, text))
	}
	fmt.Println(response.Status)
}

func number(name string, otherwise int) int {
	if value, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return value
	}
	return otherwise
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "work:", err)
		os.Exit(1)
	}
}
