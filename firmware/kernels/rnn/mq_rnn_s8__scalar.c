/* Rows as they are, four at a time; mq_rnn.h and mq_plain_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_plain_rows.h"

#define MQ_RNN mq_rnn_s8
#define MQ_X(name) name##_s8
#define MQ_H(name) name##_s8
#include "mq_rnn_rows.h"
