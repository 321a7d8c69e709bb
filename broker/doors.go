package broker

import (
	"fmt"
	"net"

	"github.com/seed-7a41469f/godwit/config"
)

// doors are the open listeners. They are opened before the store, so that what is taken already is told at once.
type doors struct {
	mqtt, mqtts, http, admin net.Listener // nil: off
	socket                   string       // path of admin's
}

func openDoors(cfg config.Config) (*doors, error) {
	d := &doors{socket: cfg.Socket()}
	if err := d.open(cfg.Listen); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *doors) open(cfg config.Listen) (err error) {
	for _, o := range []struct {
		key, address string
		door         *net.Listener
	}{{"mqtt", cfg.MQTT, &d.mqtt}, {"mqtts", cfg.MQTTS, &d.mqtts}, {"http", cfg.HTTP, &d.http}, {"admin", cfg.Admin, &d.admin}} {
		if o.address == "" {
			continue
		}
		if o.door == &d.admin && d.socket != "" {
			if d.admin, err = listenUnix(d.socket); err != nil {
				return err
			}
			continue
		}
		if *o.door, err = net.Listen("tcp", o.address); err != nil {
			return fmt.Errorf("listen.%s: %w", o.key, err)
		}
	}
	return nil
}

// close closes what nobody has closed yet.
func (d *doors) close() {
	for _, l := range []net.Listener{d.mqtt, d.mqtts, d.http, d.admin} {
		if l != nil {
			_ = l.Close()
		}
	}
}

func (d *doors) addresses() Addresses {
	of := func(l net.Listener) string {
		if l == nil {
			return ""
		}
		return l.Addr().String()
	}
	a := Addresses{MQTT: of(d.mqtt), MQTTS: of(d.mqtts), HTTP: of(d.http)}
	switch {
	case d.socket != "":
		a.Admin = "unix:" + d.socket
	case d.admin != nil:
		a.Admin = "http://" + d.admin.Addr().String()
	}
	return a
}
