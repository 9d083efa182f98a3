/* Rows as they are, four at a time; mq_plain_rows.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_plain_rows.h"

#define MQ_FULLY_CONNECTED mq_fully_connected_s16
#define MQ_X(name) name##_s16
#define MQ_Y(name) name##_s16
#include "mq_fully_connected_rows.h"
