/* Debian's paho for C, its synchronous client: messages at each QoS out and back, at the levels 3, 4 and 5. Arguments: URL, count. */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile int got;
static volatile int wrong;

static int arrived(void *context, char *topic, int length, MQTTClient_message *message) {
  char text[32] = {0};
  (void)context;
  (void)length;
  memcpy(text, message->payload, message->payloadlen < 31 ? message->payloadlen : 31);
  if (atoi(text) != got) wrong++;
  got++;
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  return 1;
}

static int round_trip(const char *url, int count, int version, int qos) {
  MQTTClient client;
  MQTTClient_createOptions created = MQTTClient_createOptions_initializer;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTClient_connectOptions options5 = MQTTClient_connectOptions_initializer5;
  MQTTClient_connectOptions *with = version == 5 ? &options5 : &options;
  char topic[32];
  int n, waited;
  created.MQTTVersion = version;
  with->MQTTVersion = version;
  with->keepAliveInterval = 20;
  if (version == 5) with->cleanstart = 1; else with->cleansession = 1;
  snprintf(topic, sizeof topic, "paho-c/%d/%d", version, qos);
  got = wrong = 0;
  if (MQTTClient_createWithOptions(&client, url, "paho-c", MQTTCLIENT_PERSISTENCE_NONE, NULL, &created) != 0) return 1;
  MQTTClient_setCallbacks(client, NULL, NULL, arrived, NULL);
  if (version == 5) {
    MQTTResponse answer = MQTTClient_connect5(client, with, NULL, NULL);
    if (answer.reasonCode != 0) return 2;
    MQTTResponse_free(answer);
    answer = MQTTClient_subscribe5(client, topic, qos, NULL, NULL);
    if (answer.reasonCode != (enum MQTTReasonCodes)qos) return 3;
    MQTTResponse_free(answer);
  } else {
    if (MQTTClient_connect(client, with) != 0) return 2;
    if (MQTTClient_subscribe(client, topic, qos) != 0) return 3;
  }
  for (n = 0; n < count; n++) {
    char text[32];
    MQTTClient_deliveryToken token;
    snprintf(text, sizeof text, "%d", n);
    if (version == 5) {
      MQTTResponse answer = MQTTClient_publish5(client, topic, strlen(text), text, qos, 0, NULL, &token);
      if (answer.reasonCode != 0) return 4;
      MQTTResponse_free(answer);
    } else if (MQTTClient_publish(client, topic, strlen(text), text, qos, 0, &token) != 0) return 4;
    if (qos > 0 && MQTTClient_waitForCompletion(client, token, 10000L) != 0) return 5;
  }
  for (waited = 0; got < count && waited < 1000; waited++) {
    struct timespec ten_ms = {0, 10000000};
    nanosleep(&ten_ms, NULL);
  }
  if (version == 5) MQTTClient_disconnect5(client, 1000, MQTTREASONCODE_SUCCESS, NULL); else MQTTClient_disconnect(client, 1000);
  MQTTClient_destroy(&client);
  return got == count && wrong == 0 ? 0 : 6;
}

int main(int argc, char **argv) {
  int version, qos;
  if (argc < 3) return 2;
  for (version = 3; version <= 5; version++) {
    for (qos = 0; qos <= 2; qos++) {
      int how = round_trip(argv[1], atoi(argv[2]), version, qos);
      if (how != 0) {
        fprintf(stderr, "level %d QoS %d: step %d, %d came, %d out of order\n", version, qos, how, got, wrong);
        return 1;
      }
    }
  }
  puts("paho c: kept");
  return 0;
}
