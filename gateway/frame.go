package gateway

import "encoding/binary"

// Opcodes of RFC 6455, section 5.2, that the gateway writes of its own.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
)

// A frame is a whole WebSocket frame as a server sends it: final, unmasked,
// uncompressed. It is made once, may be written to many sockets, and is never
// changed.
type frame []byte

// appendFrame puts a frame's header and payload behind dst.
func appendFrame(dst []byte, opcode byte, payload []byte) []byte {
	return append(appendHeader(dst, opcode, len(payload)), payload...)
}

// appendHeader puts the header of a payload of n bytes behind dst.
// RFC 6455, section 5.2: a length up to 125 fits the second byte, up to 65,535
// takes two bytes more, anything longer takes eight.
func appendHeader(dst []byte, opcode byte, n int) []byte {
	dst = append(dst, 0x80|opcode)
	switch {
	case n <= 125:
		return append(dst, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
}

// headerRoom is the length of the longest header.
const headerRoom = 10

// textFrame frames one JSON message.
func textFrame(payload []byte) frame {
	return appendFrame(make([]byte, 0, headerRoom+len(payload)), opText, payload)
}

// frameAround makes a text frame of text behind headerRoom bytes, without a copy.
func frameAround(text []byte) frame {
	var space [headerRoom]byte
	header := appendHeader(space[:0], opText, len(text)-headerRoom)
	return text[headerRoom-copy(text[headerRoom-len(header):], header):]
}

// payload is what the frame carries.
func (f frame) payload() []byte {
	switch f[1] {
	case 126:
		return f[4:]
	case 127:
		return f[10:]
	default:
		return f[2:]
	}
}

// pingFrame carries seq, so that the pong says which ping it answers.
func pingFrame(seq uint64) frame {
	return appendFrame(make([]byte, 0, 10), opPing, binary.BigEndian.AppendUint64(nil, seq))
}

// closeFrame carries a close code and a reason of at most 123 bytes.
func closeFrame(code CloseCode, reason string) frame {
	const longest = 125 - 2 // RFC 6455, section 5.5
	if len(reason) > longest {
		reason = reason[:longest]
	}
	p := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(reason)), uint16(code))
	return appendFrame(make([]byte, 0, len(p)+2), opClose, append(p, reason...))
}
