"""Prompts for the language step: English with foreign words in it, and the other way round."""

ENGLISH = """\
What is the meaning of the Welsh word hiraeth?
Translate "Ich habe meinen Schlüssel verloren" into English, please.
How would a native say "see you tomorrow" in Korean (내일 봐요)?
When do I use "tu" and when "vous"?
Explain the Portuguese concept of saudade to a child.
Who composed Eine kleine Nachtmusik?
Summarize Don Quijote de la Mancha in three sentences.
What does "alea iacta est" mean, and who said it?
Write a short story that takes place in a pâtisserie in Aix-en-Provence.
How do you pronounce Kierkegaard and Tchaikovsky?
Suggest three tapas, for example patatas bravas or gambas al ajillo.
Is "la problema" or "el problema" correct?
Give me a recipe for boeuf bourguignon with potatoes.
What is the population of Şanlıurfa?
How long is the train ride from Zürich to Łódź?
Tell me about the painter Hieronymus Bosch and De Tuin der Lusten.
What does the Hindi greeting नमस्ते literally say?
Correct this German sentence: "Ich bin gestern ins Kino gegehen."
Rewrite in better Italian: "Io mangio molto pasta ieri."
Translate to Spanish: "The meeting was moved to Friday."
Put this into Russian: see you soon.
Can you explain the difference between は and が in Japanese?
List the ingredients of a traditional smørrebrød.
Which film won the Palme d'Or in 1994?
Who sings "Ne me quitte pas"?
Which novel begins with "Alle glücklichen Familien gleichen einander"?
When was the Ludwig-Maximilians-Universität founded?
Plan two days in Kraków with a visit to Wieliczka.
Write a limerick about a dachshund named Würstchen.
What is the plural of the Latin word corpus?
What are lagom and fika?
How is kimchi different from sauerkraut?
Give me five synonyms for zeitgeist.
how to make mole poblano
what is the origin of the word robot (robota)
Explain this joke: "Was ist grün und klopft an die Tür? Ein Klopfsalat."
Is the Schengen area the same as the EU?""".splitlines()  # noqa: RUF001

OTHERS = """\
Was heißt "break a leg" auf Deutsch?
Wie viele Menschen leben in Berlin und an der Ostsee?
Übersetze bitte "Where is the station?" ins Französische.
Nenne mir drei Filme von Steven Spielberg.
Hvad er forskellen på Windows og Linux?
Kan du give mig en opskrift på pandekager for fire personer?
Kan du gi meg en oppskrift for to personer?
Vad betyder det engelska ordet "awesome"?
Is het waar of niet dat katten in het donker kunnen zien?
Hoe werkt een smartphone en wat kost het?
Kan jy vir my 'n storie oor 'n olifant vertel?
Mitä tarkoittaa "machine learning"?
Qu'est-ce que le "cloud computing" et à quoi ça sert ?
Peux-tu résumer "The Lord of the Rings" en français ?
¿Qué significa "to be or not to be"?
Escribe un ensayo sobre el marketing digital.
O que é um "startup" e como funciona?
Qual é a diferença entre Java e JavaScript?
Cosa vuol dire "deep learning"?
Scrivi una e-mail al mio capo per chiedere un giorno libero.
Ce înseamnă "blockchain"?
Co to jest "big data"?
Co to znamena "feedback"?
Mit jelent az, hogy "open source"?
Što znači "deadline"?
Apa arti kata "download"?
Ano ang ibig sabihin ng "home office"?
"Influencer" ne demek?
Từ "marketing" nghĩa là gì?
Τι σημαίνει "software";
Что значит слово "вайб" и откуда оно?
Як працює Google Translate?
Какво означава "fake news"?
מה זה "machine learning" ואיך זה עובד?
ما معنى "artificial intelligence"؟
کلمه "online" یعنی چه؟
"smartphone" का मतलब क्या है?
"internet" என்றால் என்ன?
"computer" คืออะไร
"deadline"はどういう意味ですか。
"team building"이 무슨 뜻이에요?
"update" 是什么意思?""".splitlines()  # noqa: RUF001
