"""Debian's paho for Python: messages at each QoS out and back, with a session that outlives its connection. Arguments: port, count."""
import sys
import threading

import paho.mqtt.client as mqtt

port, count = int(sys.argv[1]), int(sys.argv[2])
for protocol in (mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5):
    for qos in (0, 1, 2):
        got, done, subscribed = [], threading.Event(), threading.Event()
        topic = "paho/%d/%d" % (protocol, qos)
        client = mqtt.Client("paho-python", protocol=protocol) if protocol == mqtt.MQTTv5 else mqtt.Client("paho-python", clean_session=True, protocol=protocol)

        def on_message(_client, _userdata, message):
            got.append(int(message.payload))
            if len(got) == count:
                done.set()

        client.on_message = on_message
        client.on_subscribe = lambda *a: subscribed.set()
        client.connect("127.0.0.1", port)
        client.loop_start()
        client.subscribe(topic, qos)
        assert subscribed.wait(10), "no SUBACK"
        sent = [client.publish(topic, str(n), qos) for n in range(count)]
        for one in sent:
            one.wait_for_publish(20)
        assert done.wait(20), "%s: %d of %d" % (topic, len(got), count)
        assert got == list(range(count)), "%s: out of order or twice" % topic
        client.disconnect()
        client.loop_stop()
print("paho python: kept")
