/**
 * Errors as a MySQL or MariaDB server answers a statement with, for a proxy to give in its stead.
 */

/** What storing a renewed token says to the database, one after the other. */
export const STORING = {
  update: /^.{5}update `model_configs` set `oauth_access_token`/s,
  insert: /^.{5}insert into `audit_events`/s,
  commit: /^.{5}commit$/s,
} as const
export type Statement = keyof typeof STORING

/**
 * By what makes servers give them: storage engines, locks, limits and interruptions; roles, replication and
 * clusters; the network; tables, columns and rights; one that no server has.
 */
export const ERROR_NUMBERS = [
  ...[1005, 1015, 1021, 1023, 1026, 1030, 1034, 1037, 1038, 1041, 1114, 1180, 1181, 1194, 1195, 1297],
  ...[1028, 1099, 1205, 1206, 1213, 1223, 1317, 1419, 1614, 1637, 1665, 1694, 1878, 1969, 3024, 3058, 3572],
  ...[1040, 1043, 1053, 1129, 1130, 1184, 1203, 1226, 1836, 1792, 1290, 1047, 1785, 3100, 3101, 3019, 3169],
  ...[1042, 1080, 1152, 1153, 1154, 1155, 1156, 1157, 1158, 1159, 1160, 1161, 1835, 1927, 1968, 2006, 2013],
  ...[1044, 1045, 1054, 1062, 1064, 1105, 1142, 1143, 1146, 1264, 1292, 1305, 1364, 1366, 1406, 1412, 1644],
  ...[1227, 1243, 1390, 1461, 1815, 3819, 4025, 4031, 9999],
] as const

/** An ERR packet, the first answer to a statement. */
export function errorPacket(errno: number): Buffer {
  const text = Buffer.from(`\xff\0\0#HY000a test says so`, 'latin1')
  text.writeUInt16LE(errno, 1)
  const head = Buffer.from([text.length, 0, 0, 1])
  return Buffer.concat([head, text])
}
