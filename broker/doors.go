package broker

import (
	"fmt"
	"net"

	"github.com/seed-7a41469f/godwit/config"
)

// doors are the open listeners. They are opened before the store, so that what is taken already is told at once.
type doors struct {
	mqtt, http, admin net.Listener // http and admin may be nil
	socket            string       // path of admin's
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
	if d.mqtt, err = net.Listen("tcp", cfg.MQTT); err != nil {
		return fmt.Errorf("listen.mqtt: %w", err)
	}
	if cfg.HTTP != "" {
		if d.http, err = net.Listen("tcp", cfg.HTTP); err != nil {
			return fmt.Errorf("listen.http: %w", err)
		}
	}
	if d.socket != "" {
		d.admin, err = listenUnix(d.socket)
		return err
	}
	if cfg.Admin != "" {
		if d.admin, err = net.Listen("tcp", cfg.Admin); err != nil {
			return fmt.Errorf("listen.admin: %w", err)
		}
	}
	return nil
}

// close closes what nobody has closed yet.
func (d *doors) close() {
	for _, l := range []net.Listener{d.mqtt, d.http, d.admin} {
		if l != nil {
			_ = l.Close()
		}
	}
}

func (d *doors) addresses() Addresses {
	a := Addresses{MQTT: d.mqtt.Addr().String()}
	if d.http != nil {
		a.HTTP = d.http.Addr().String()
	}
	switch {
	case d.socket != "":
		a.Admin = "unix:" + d.socket
	case d.admin != nil:
		a.Admin = "http://" + d.admin.Addr().String()
	}
	return a
}
