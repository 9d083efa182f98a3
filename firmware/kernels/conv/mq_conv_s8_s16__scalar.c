/* Rows as they are, four at a time; mq_conv.h and mq_plain_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_plain_rows.h"

#define MQ_CONV mq_conv_s8_s16
#define MQ_X(name) name##_s8
#define MQ_Y(name) name##_s16
#include "mq_conv_rows.h"
