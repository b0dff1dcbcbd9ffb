package main

// Specs that show each rule of the grammar, valid or not.
var chosen = []string{
	"* * * * *", "5/1 * * * *", "?/2 * * * *", "*/90 * * * *", "*/1 * * * *", "0 * * * *", "0 0 * * *", "0 3 * * *",
	"0 0 1 1 *", "0 0 29 2 *", "0 0 30 2 *", "0 0 31 2 *", "0 0 31 * *", "0 0 31 4,6,9,11 *", "15,45 9-17 * * 1-5",
	"0 0 13 * 5", "0 0 13 * fri", "0 0 */2 * mon", "0 0 1-31 * mon", "0 0 * * mon", "0 0 1 * *", "0 0 */1 * 2",
	"0 0 1 * */1", "0 0 1 * */2", "0 0 1 * ?", "0 0 ? * 3", "0 0 1,* * 3", "0 0 *,1 * 3", "0 0 1 * 3,*", "* * * * SUN-sat/2",
	"* * * jan-mar *", "* * * JAN,feb,dEc *", "0 12 * feb/3 *", "0 12 * */5 *", "0 12 * * mon/2", "0 12 * * 0",
	"0 12 * * 1-5/2", "10-20/3 4 * * *", "59 23 31 12 *", "0-59 0-23 1-31 1-12 0-6", "0,0,0 0 * * *", "0,,30 * * * *",
	", * * * *", "* , * * *", "* * , * *", "* * * , *", "* * * * ,", "* * , * ,", ",, 1 1 1 1", "*-5 * * * *", "?-x * * * *",
	"*-5/7 * * * *", "*-1-2 * * * *", "+5 * * * *", "05 007 * * *", "5-+7 * * * *", "*/+5 * * * *", "  1   2 3\t4 5  ",
	"\n0 0 * * *\r\n", "0\u00a00\u2003* * *", "0/1000000 * * * *", "0/9223372036854775807 * * * *",
	// Wrong in one way each.
	"", " ", "*", "* * * *", "* * * * * *", "60 * * * *", "-1 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *",
	"* * * 13 *", "* * * * 7", "* * * * -1", "5-1 * * * *", "* 9-5 * * *", "* * * dec-jan *", "* * * * fri-sun", "1-5/0 * * * *",
	"*/0 * * * *", "0/0 * * * *", "1/2/3 * * * *", "1-2-3 * * * *", "1- * * * *", "/5 * * * *", "*/ * * * *", "*/-1 * * * *", "x * * * *",
	"1x * * * *", "0x5 * * * *", "1_0 * * * *", "1.5 * * * *", "* * * january *", "* * * * monday", "jan * * * *", "* * * mon *",
	"* * L * *", "* * 15W * *", "* * * * 5#2", "** * * * *", "*5 * * * *", "9223372036854775808 * * * *", "*/9223372036854775808 * * * *",
	"99999999999999999999 * * * *", "٣ * * * *", "* * * * *;", "\u0000 * * * *",
	// Descriptors.
	"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@reboot", "@DAILY", "@", "@ daily", " @daily",
	"@daily ", "@every 1s", "@every 1.5s", "@every 1m", "@every 1h30m", "@every 90m", "@every 36h", "@every 0", "@every -5s", "@every +5s",
	"@every 999ms", "@every 1h0m0.5s", "@every 2540400h10m10s", "@every 2562047h47m16.854775807s", "@every 2562047h47m16.854775808s",
	"@every 1us", "@every 1µs", "@every 1μs", "@every 60000ms", "@every .5m", "@every 1.m", "@every", "@every ", "@every  1s", "@every 1s ",
	"@every 1", "@every s", "@every 1d", "@every 1h 30m", "@every 1H", "@every 1e3s", "@every --1s", "@every ∞", "@every 0.000000001s",
	"@every 9223372036854775807ns", "@every -9223372036854775808ns", "@every 1.00000000000000000000000000001h", "@Every 1s",
	// Zones.
	"TZ=Asia/Tokyo @daily", "CRON_TZ=Asia/Tokyo 0 9 * * *", "TZ=UTC * * * * *", "TZ= 0 12 * * *", "TZ=Local 0 12 * * *",
	"CRON_TZ=Local @daily", "TZ=America/New_York 30 2 * * *", "TZ=Asia/Kolkata 0 0 * * *", "TZ=Asia/Kathmandu 15 0 1 * *",
	"TZ=Europe/London   0 1 * * *", "TZ=UTC @every 1m", "TZ=Asia/Tokyo @every 1h", "TZ=Etc/GMT+12 0 0 * * *", "TZ=Nowhere/Land 0 0 * * *",
	"TZ=UTC\t0 0 * * *", "tz=UTC 0 0 * * *", " TZ=UTC 0 0 * * *", "TZ=UTC ", "TZ=UTC  @daily ", "TZ=../UTC 0 0 * * *",
	"CRON_TZ=UTC TZ=UTC 0 0 * * *", "TZ=/etc/localtime 0 0 * * *", "TZ=europe/paris0 0 0 * * *",
}

// Specs whose time of day is where clocks change.
var around = []string{
	"0 0 * * *", "30 0 * * *", "0 1 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *", "0 3 * * *", "*/30 * * * *", "0 */2 * * *", "15 * * * *",
	"0 0 1 * *", "0 0 */2 * *", "0 23 * * *", "45 1-3 * * *", "0 0 * * 0", "0 12 1 */3 *",
}

// When clocks change, and where: at two, at midnight, by half an hour, with the date.
var changes = []struct{ zone, at string }{
	{"America/New_York", "2024-03-10T07:00:00Z"},
	{"America/New_York", "2024-11-03T06:00:00Z"},
	{"Europe/London", "2023-03-26T01:00:00Z"},
	{"Europe/London", "2023-10-29T01:00:00Z"},
	{"Europe/Paris", "2024-03-31T01:00:00Z"},
	{"Asia/Beirut", "2024-03-30T22:00:00Z"},
	{"Asia/Beirut", "2023-10-28T21:00:00Z"},
	{"America/Sao_Paulo", "2017-10-15T03:00:00Z"},
	{"America/Sao_Paulo", "2018-02-18T02:00:00Z"},
	{"Africa/Cairo", "2023-04-27T22:00:00Z"},
	{"Africa/Cairo", "2023-10-26T21:00:00Z"},
	{"Australia/Lord_Howe", "2023-09-30T15:30:00Z"},
	{"Australia/Lord_Howe", "2023-04-01T15:00:00Z"},
	{"America/St_Johns", "2010-03-14T03:31:00Z"},
	{"America/St_Johns", "2010-11-07T02:31:00Z"},
	{"America/Havana", "2022-03-13T05:00:00Z"},
	{"America/Havana", "2022-11-06T05:00:00Z"},
	{"America/Santiago", "2019-09-08T04:00:00Z"},
	{"Pacific/Apia", "2011-12-30T10:00:00Z"},
	{"Pacific/Auckland", "2022-09-24T14:00:00Z"},
	{"Asia/Pyongyang", "2015-08-14T15:00:00Z"},
	{"Asia/Kathmandu", "2020-06-01T18:15:00Z"},
	{"Africa/Casablanca", "2022-03-27T02:00:00Z"},
	{"Antarctica/Troll", "2022-03-27T01:00:00Z"},
}
