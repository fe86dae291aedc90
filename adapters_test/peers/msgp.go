package peers

import (
	"fmt"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// MessagePack in place of gob: what somebody who measured would put into scs
// and gorilla/sessions. Neither library ships one, and both have the hook.

// msgpCodec is an scs.Codec.
type msgpCodec struct{}

func (msgpCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	return msgp.AppendMapStrIntf(msgp.AppendTime(make([]byte, 0, 512), deadline), values)
}

func (msgpCodec) Decode(b []byte) (time.Time, map[string]any, error) {
	deadline, rest, err := msgp.ReadTimeBytes(b)
	if err != nil {
		return time.Time{}, nil, err
	}
	values, _, err := msgp.ReadMapStrIntfBytes(rest, nil)
	return deadline, values, err
}

// msgpSerializer is a securecookie.Serializer for the values of a session.
type msgpSerializer struct{}

func (msgpSerializer) Serialize(src any) ([]byte, error) {
	values, ok := src.(map[any]any)
	if !ok {
		return nil, fmt.Errorf("peers: a session is no %T", src)
	}
	b := msgp.AppendMapHeader(make([]byte, 0, 512), uint32(len(values)))
	var err error
	for k, v := range values {
		key, ok := k.(string)
		if !ok {
			return nil, fmt.Errorf("peers: a key is no %T", k)
		}
		if b, err = msgp.AppendIntf(msgp.AppendString(b, key), v); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (msgpSerializer) Deserialize(src []byte, dst any) error {
	values, ok := dst.(*map[any]any)
	if !ok {
		return fmt.Errorf("peers: a session is no %T", dst)
	}
	n, src, err := msgp.ReadMapHeaderBytes(src)
	if err != nil {
		return err
	}
	if *values == nil {
		*values = make(map[any]any, n)
	}
	for range n {
		var key string
		var value any
		if key, src, err = msgp.ReadStringBytes(src); err != nil {
			return err
		}
		if value, src, err = msgp.ReadIntfBytes(src); err != nil {
			return err
		}
		(*values)[key] = value
	}
	return nil
}
